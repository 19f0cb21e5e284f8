"""What a training tells of itself between two steps."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

from transformers import TrainerState

from finetune_trainer.reporting import Reporter
from finetune_trainer.train.callbacks import ReportProgress
from finetune_trainer.train.ledger import Ledger


def test_the_age_of_the_last_checkpoint_begins_anew_with_each_one(tmp_path: Path) -> None:
    now, stream = [100.0], StringIO()
    progress = ReportProgress(Reporter(stream, interval=0), Ledger(tmp_path), lambda: now[0])
    nothing: Any = None

    def step(number: int, at: float) -> TrainerState:
        now[0] = at
        state = TrainerState(global_step=number, max_steps=10)
        progress.on_log(nothing, state, nothing, logs={"loss": 1.0})
        return state

    progress.on_train_begin(nothing, TrainerState(max_steps=10), nothing)
    step(1, 160.0)
    saved = step(2, 220.0)
    progress.on_save(nothing, saved, nothing)
    step(3, 250.0)
    ages = [json.loads(line).get("checkpointAgeSeconds") for line in stream.getvalue().splitlines()]
    assert ages == [None, 60.0, 120.0, 30.0]
