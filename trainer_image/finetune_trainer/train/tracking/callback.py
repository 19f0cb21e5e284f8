"""Feeds the curves while the Trainer trains."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.train.tracking.curves import Curves
from finetune_trainer.train.tracking.points import GRADIENT_NORM, LEARNING_RATE, LOSS, TOKENS_PER_SECOND

_OF_LOGS = {"loss": LOSS, "learning_rate": LEARNING_RATE, "grad_norm": GRADIENT_NORM}
"""The Trainer's names, and ours."""


class TrackCurves(TrainerCallback):  # type: ignore[misc]
    """Puts every step's figures onto the curves."""

    def __init__(self, curves: Curves) -> None:
        self._curves = curves
        self._last_look = (0.0, 0)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._last_look = (time.monotonic(), int(state.num_input_tokens_seen))

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        values = {ours: float(logs[theirs]) for theirs, ours in _OF_LOGS.items() if theirs in logs}
        if LOSS in values:
            values[TOKENS_PER_SECOND] = self._tokens_per_second(int(state.num_input_tokens_seen))
        if values:
            self._curves.add(state.global_step, values)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._curves.flush()

    def _tokens_per_second(self, tokens: int) -> float:
        """Since the last look."""
        now = time.monotonic()
        seconds, new_tokens = now - self._last_look[0], tokens - self._last_look[1]
        self._last_look = (now, tokens)
        return new_tokens / seconds if seconds else 0.0
