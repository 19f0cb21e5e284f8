"""Trainings that are stopped, killed or poisoned at a chosen moment, in this process or in one of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from workplaces import Workplace

from finetune_api.exit_codes import ExitCode
from finetune_trainer.failures import StoppedError
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.train import step
from finetune_trainer.train.completion_trainer import CompletionTrainer

Event = dict[str, Any]
_MAIN = "import sys; from finetune_trainer.__main__ import main; sys.exit(main([]))"


class InterruptingReporter(Reporter):
    """Does something when a stage has come so far."""

    def __init__(self, workplace: Workplace, stage: str, at: int, interrupt: Callable[[], object]) -> None:
        super().__init__(workplace.said, interval=0)
        self._moment = (stage, at)
        self._interrupt = interrupt

    def progress(self, step: int, steps: int, **details: Any) -> bool:
        if (self._stage, step) == self._moment:
            self._interrupt()
        return super().progress(step, steps, **details)

    def stage(self, stage: str) -> None:
        super().stage(stage)
        if (stage, 0) == self._moment:
            self._interrupt()


def ask_to_stop() -> None:
    STOP.requested = True


def stopped(workplace: Workplace, stage: str = "training", at: int = 5, **changes: Any) -> StoppedError:
    """A training that is told to stop in a stage, after so many steps of it."""
    with pytest.raises(StoppedError) as caught:
        step.run(workplace.train_order(**changes), InterruptingReporter(workplace, stage, at, ask_to_stop))
    STOP.requested = False
    assert caught.value.exit_code is ExitCode.STOPPED
    return caught.value


class Killed(BaseException):
    """As if the node went away."""


def die() -> None:
    raise Killed


def killed(workplace: Workplace, stage: str = "training", at: int = 5, **changes: Any) -> None:
    """A training that ends without another word in a stage, after so many steps of it."""
    with pytest.raises(Killed):
        step.run(workplace.train_order(**changes), InterruptingReporter(workplace, stage, at, die))


def checkpoints_folder(workplace: Workplace) -> Path:
    return workplace.directory / "checkpoints"


def checkpoints(workplace: Workplace) -> list[int]:
    """Steps of the checkpoints that are in their place."""
    return sorted(int(path.name.rpartition("-")[2]) for path in checkpoints_folder(workplace).glob("checkpoint-*"))


def manifest(workplace: Workplace, step: int) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        (checkpoints_folder(workplace) / f"checkpoint-{step}" / "manifest.json").read_text()
    )
    return document


def learning_rates(workplace: Workplace, step: int) -> dict[int, float]:
    """Learning rate of every step up to a checkpoint's."""
    state = json.loads((checkpoints_folder(workplace) / f"checkpoint-{step}" / "trainer_state.json").read_text())
    return {line["step"]: line["learning_rate"] for line in state["log_history"] if "learning_rate" in line}


def stages(workplace: Workplace) -> list[str]:
    return [event["stage"] for event in workplace.events if event["event"] == "stage"]


def poison(
    monkeypatch: pytest.MonkeyPatch, when: Callable[[CompletionTrainer], bool], spoil: Callable[[Any], Any]
) -> None:
    """Changes the loss of some micro-batches of a training: a forward hook at the model's edge."""
    original = CompletionTrainer.compute_loss

    def compute_loss(trainer: CompletionTrainer, model: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        loss = original(trainer, model, *args, **kwargs)
        return spoil(loss) if trainer.model.training and when(trainer) else loss

    monkeypatch.setattr(CompletionTrainer, "compute_loss", compute_loss)


def start(workplace: Workplace, log: Path, before: str = "", **changes: Any) -> subprocess.Popen[str]:
    """Trains in a process of its own; `before` is Python that it runs first."""
    environment = os.environ | {
        "PYTHONPATH": ":".join(entry for entry in sys.path if entry),
        "FINETUNE_ORDER": workplace.train_order(**changes).to_json(),
        "FINETUNE_TERMINATION_LOG": str(log),
    }
    return subprocess.Popen(
        [sys.executable, "-c", f"{before}\n{_MAIN}"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def signalled(process: subprocess.Popen[str], number: int, when: Callable[[Event], bool]) -> int:
    """Sends a signal at the first event that `when` holds for; returns how the process ended."""
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if when(json.loads(line)):
                process.send_signal(number)
                break
        process.stdout.read()
        return process.wait()


def is_training(event: Event, at_least: int = 0) -> bool:
    return (event["event"], event.get("stage")) == ("progress", "training") and event["step"] >= at_least
