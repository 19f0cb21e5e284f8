"""SIGTERM, as a preempted pod gets it: a checkpoint, exit code 4, and later the rest of the training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workplaces import TRAINING, Workplace

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.results import Failure, parse_result
from finetune_trainer import prepare_training
from finetune_trainer.train import step

LONG = TRAINING | {"epochs": 12, "checkpoint_every_steps": 1000}
STEPS = 60
Event = dict[str, Any]


def terminated(workplace: Workplace, log: Path, when: Callable[[Event], bool]) -> int:
    """Trains in a process of its own and sends SIGTERM at the first event that `when` holds for."""
    environment = os.environ | {
        "PYTHONPATH": ":".join(entry for entry in sys.path if entry),
        "FINETUNE_ORDER": workplace.train_order(training=LONG).to_json(),
        "FINETUNE_TERMINATION_LOG": str(log),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "finetune_trainer"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if when(json.loads(line)):
                process.send_signal(signal.SIGTERM)
                break
        process.stdout.read()
        return process.wait()


def is_training(event: Event) -> bool:
    return (event["event"], event.get("stage")) == ("progress", "training")


def is_starting(event: Event) -> bool:
    return event.get("stage") == "starting"


@pytest.fixture
def prepared(workplace: Workplace) -> Workplace:
    prepare_training.run(workplace.prepare_order(training=LONG), workplace.reporter)
    return workplace


def test_a_preempted_training_leaves_a_checkpoint_and_goes_on_from_it(prepared: Workplace, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    assert terminated(prepared, log, is_training) == ExitCode.STOPPED
    failure = parse_result(log.read_text())
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.PREEMPTED
    (checkpoint,) = (prepared.directory / "checkpoints").glob("checkpoint-*")
    saved = int(checkpoint.name.removeprefix("checkpoint-"))
    assert 0 < saved < STEPS
    assert f"the checkpoint of step {saved} is saved" in failure.message

    result = step.run(prepared.train_order(training=LONG), prepared.reporter)
    assert result.training.steps == STEPS
    stages = [event["stage"] for event in prepared.events if event["event"] == "stage"]
    assert f"training on from step {saved}" in stages


def test_a_stop_while_the_libraries_load_is_not_lost(prepared: Workplace, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    assert terminated(prepared, log, is_starting) == ExitCode.STOPPED
    failure = parse_result(log.read_text())
    assert isinstance(failure, Failure)
    assert failure.message == "stopped as told; what was finished is kept"
    assert not (prepared.directory / "train").exists()
    assert not list((prepared.directory / "checkpoints").glob("checkpoint-*"))
