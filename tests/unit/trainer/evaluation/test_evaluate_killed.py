"""An evaluation whose process is killed from outside goes on after its last finished batch, and ends the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from evaluation_desk import Desk, questions_asked

from finetune_api.conditions import Reason
from finetune_api.quantization import Quantization
from finetune_api.results import EvaluateResult
from finetune_trainer.evaluation import examination
from finetune_trainer.evaluation.partial import PARTIAL_FOLDER
from finetune_trainer.failures import InfrastructureError

ROWS = 5
_AT_A_BATCH = """
import signal, sys
from finetune_trainer.__main__ import main
from finetune_trainer.evaluation import examination
from finetune_trainer.evaluation.examination import Examiner

examination.ROWS = {rows}
answer, batches = Examiner.answer, []

def answer_or_wait(*arguments):
    batches.append(arguments)
    if len(batches) == {batch}:
        print("in the midst of a batch", flush=True)
        signal.pause()
    return answer(*arguments)

Examiner.answer = answer_or_wait
sys.exit(main([]))
"""


def killed(desk: Desk, batch: int, **model: Any) -> None:
    """Evaluates in a process of its own, which is killed while it answers that batch, counted from one."""
    environment = os.environ | {
        "PYTHONPATH": ":".join(entry for entry in sys.path if entry),
        "FINETUNE_ORDER": desk.evaluate_order(**model).to_json(),
        "FINETUNE_TERMINATION_LOG": str(desk.root / "last words"),
        "OMP_NUM_THREADS": "1",
    }
    code = _AT_A_BATCH.format(rows=ROWS, batch=batch)
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("in the midst") for line in process.stdout), "it ended before that batch"
        process.kill()
        assert process.wait() == -signal.SIGKILL


def first_progress(desk: Desk) -> int:
    """How many examples were done when the answering began, in the last run."""
    events = [json.loads(line) for line in desk.events.getvalue().splitlines()]
    start = max(
        number for number, event in enumerate(events) if event.get("stage") == "answering" and "step" not in event
    )
    return next(int(event["step"]) for event in events[start:] if event["event"] == "progress")


def test_a_killed_evaluation_goes_on_after_its_last_finished_batch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "ROWS", ROWS)
    desk.evaluate("uninterrupted")
    killed(desk, batch=4)
    kept = (desk.root / "run" / PARTIAL_FOLDER / "batches.jsonl").read_text().splitlines()
    assert len(kept) == 1 + 3 and not (desk.root / "run" / "evaluate").exists()
    assert questions_asked(monkeypatch, desk) == 48 - 3 * ROWS
    assert first_progress(desk) == 3 * ROWS
    assert desk.predictions() == desk.predictions("uninterrupted")


def test_what_was_asked_again_is_kept_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "ROWS", ROWS)
    uninterrupted = desk.evaluate("uninterrupted", quantization=Quantization.NF4)
    killed(desk, batch=12, quantization=Quantization.NF4)
    assert questions_asked(monkeypatch, desk, quantization=Quantization.NF4) == 3, "of the second task"
    assert first_progress(desk) == 72 + 3
    assert desk.predictions() == desk.predictions("uninterrupted")
    assert kept_result(desk).noise == uninterrupted.noise


def kept_result(desk: Desk) -> EvaluateResult:
    return EvaluateResult.model_validate_json((desk.root / "run" / "evaluate" / "result.json").read_text())


def test_three_kills_before_another_batch_fail_once_and_then_it_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "ROWS", ROWS)
    for _ in range(3):
        killed(desk, batch=1)
    with pytest.raises(InfrastructureError, match="more than batch 0") as caught:
        desk.evaluate()
    assert caught.value.reason is Reason.NO_PROGRESS
    assert desk.evaluate().tasks
