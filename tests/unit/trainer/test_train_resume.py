"""A training that was stopped, killed or short of memory goes on as if nothing had happened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train_lora import losses, trained
from workplaces import TRAINING, MakeWorkplace, Workplace

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.finetunejob import Method
from finetune_api.quantization import Quantization
from finetune_api.results import TrainResult
from finetune_trainer import prepare_training
from finetune_trainer.failures import MemoryExhausted, StoppedError, UserError
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.train import step
from finetune_trainer.train.completion_trainer import CompletionTrainer

pytestmark = pytest.mark.usefixtures("stop_request")


class StoppingReporter(Reporter):
    """Asks the process to stop when a stage has come so far."""

    def __init__(self, workplace: Workplace, stage: str, at: int) -> None:
        super().__init__(workplace.said, interval=0)
        self._stop_at = (stage, at)

    def progress(self, step: int, steps: int, **details: Any) -> bool:
        if (self._stage, step) == self._stop_at:
            STOP.requested = True
        return super().progress(step, steps, **details)

    def stage(self, stage: str) -> None:
        super().stage(stage)
        if (stage, 0) == self._stop_at:
            STOP.requested = True


def stopped(workplace: Workplace, stage: str = "training", at: int = 5, **changes: Any) -> StoppedError:
    with pytest.raises(StoppedError) as caught:
        step.run(workplace.train_order(**changes), StoppingReporter(workplace, stage, at))
    STOP.requested = False
    assert caught.value.exit_code is ExitCode.STOPPED
    return caught.value


def checkpoints(workplace: Workplace) -> list[str]:
    return sorted(path.name for path in (workplace.directory / "checkpoints").glob("checkpoint-*"))


FORMS = [(Method.LORA, None), (Method.QLORA, Quantization.NF4)]


@pytest.mark.parametrize(("method", "quantization"), FORMS)
@pytest.mark.parametrize("last_step_before", [4, 7])
def test_a_resumed_training_takes_the_same_steps(
    make_workplace: MakeWorkplace, method: Method, quantization: Quantization | None, last_step_before: int
) -> None:
    """Stopped amid the first epoch and the second; a step that is told to stop is still taken."""
    whole, parted = make_workplace("whole"), make_workplace("parted")
    form = {"method": method, "quantization": quantization}
    uninterrupted = trained(whole, **form)
    prepare_training.run(parted.prepare_order(**form), parted.reporter)
    error = stopped(parted, at=last_step_before)
    assert error.message.startswith(f"stopped as told after step {last_step_before + 1} of 10; the checkpoint of step")
    assert checkpoints(parted) == [f"checkpoint-{last_step_before + 1}"]
    resumed = step.run(parted.train_order(), parted.reporter)
    assert losses(parted) == pytest.approx(losses(whole), abs=1e-6)
    assert resumed.training.adapter_digest == uninterrupted.training.adapter_digest
    assert resumed.training.validation_loss == uninterrupted.training.validation_loss


def test_the_time_of_all_attempts_counts(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace)
    ledger = workplace.directory / "checkpoints" / "attempts.json"
    attempts = json.loads(ledger.read_text())
    assert attempts["attempts"][0]["tokens"] > 0
    attempts["attempts"][0]["seconds"] = 7200.0
    ledger.write_text(json.dumps(attempts))
    assert float(step.run(workplace.train_order(), workplace.reporter).training.hours) > 2.0


@pytest.mark.parametrize(
    ("stage", "at", "kept"),
    [
        ("reading the base model", 0, "nothing had been learnt yet"),
        ("loading the base model", 0, "nothing had been learnt yet"),
        ("validating", 0, "the checkpoint of step 10 is kept"),
    ],
)
def test_a_stop_at_another_moment_says_what_is_kept(workplace: Workplace, stage: str, at: int, kept: str) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    assert stopped(workplace, stage, at).message == f"stopped as told; {kept}"
    assert step.run(workplace.train_order(), workplace.reporter).training.steps == 10


def test_a_stop_in_the_last_step_does_not_throw_the_training_away(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(validation_fraction="0"), workplace.reporter)
    reporter = StoppingReporter(workplace, "training", 9)
    assert step.run(workplace.train_order(), reporter).training.steps == 10


def without_marker(checkpoint: Path) -> None:
    (checkpoint / "COMPLETE").unlink()


def with_cut_weights(checkpoint: Path) -> None:
    weights = checkpoint / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])


def without_optimizer(checkpoint: Path) -> None:
    (checkpoint / "optimizer.pt").unlink()


@pytest.mark.parametrize("tear", [without_marker, with_cut_weights, without_optimizer])
def test_a_torn_checkpoint_is_skipped_and_removed(workplace: Workplace, tear: Callable[[Path], None]) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace, at=5)
    folder = workplace.directory / "checkpoints"
    shutil.copytree(folder / "checkpoint-6", folder / "checkpoint-8")
    tear(folder / "checkpoint-8")
    stopped(workplace, stage="training on from step 6", at=6)
    assert checkpoints(workplace) == ["checkpoint-7"]


def test_a_checkpoint_of_another_training_is_not_gone_on_from(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace)
    changed = TRAINING | {"learning_rate": "1e-3"}
    prepare_training.run(workplace.prepare_order(training=changed), workplace.reporter)
    step.run(workplace.train_order(training=changed), workplace.reporter)
    stages = [event["stage"] for event in workplace.events if event["event"] == "stage"]
    assert "training on from step 6" not in stages


def test_only_the_newest_checkpoint_is_kept(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace, stage="validating", at=0)
    assert checkpoints(workplace) == ["checkpoint-10"]


class Killed(BaseException):
    """As if the node went away."""


def test_after_a_crash_the_training_goes_on_from_the_last_interval(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    original = CompletionTrainer.training_step

    def dying(trainer: CompletionTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if trainer.state.global_step == 6:
            raise Killed
        return original(trainer, *args, **kwargs)

    monkeypatch.setattr(CompletionTrainer, "training_step", dying)
    with pytest.raises(Killed):
        step.run(workplace.train_order(), workplace.reporter)
    monkeypatch.undo()
    assert checkpoints(workplace) == ["checkpoint-4"]
    step.run(workplace.train_order(), workplace.reporter)
    assert "training on from step 4" in [event.get("stage") for event in workplace.events]


# Running out of memory


def short_of_memory(limit: int, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A device on which at most so many examples fit at once."""
    original = CompletionTrainer.training_step

    def training_step(trainer: CompletionTrainer, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        if inputs["input_ids"].shape[0] > limit:
            raise error
        return original(trainer, model, inputs, *args, **kwargs)

    monkeypatch.setattr(CompletionTrainer, "training_step", training_step)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:131] err == 0. DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=["gpu", "cpu", "python"])
def test_short_of_memory_the_micro_batch_is_halved_and_the_steps_stay_the_same(
    make_workplace: MakeWorkplace, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    no_dropout = {"dropout": "0"}
    whole, short = make_workplace("whole"), make_workplace("short")
    trained(whole, lora=no_dropout)
    prepare_training.run(short.prepare_order(lora=no_dropout), short.reporter)
    short_of_memory(2, monkeypatch, error)
    attempts = 0
    result = None
    while result is None:
        attempts += 1
        try:
            result = step.run(short.train_order(lora=no_dropout), short.reporter)
        except MemoryExhausted as exhausted:
            assert exhausted.exit_code is ExitCode.GPU_OUT_OF_MEMORY
            assert "8 a step as before" in exhausted.message
    assert attempts == 3  # 8, 4, 2 at once
    assert isinstance(result, TrainResult)
    assert losses(short) == pytest.approx(losses(whole), abs=2e-3)


def test_when_not_even_one_example_fits_the_user_is_told_what_to_change(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = TRAINING | {"micro_batch_size": 1}
    prepare_training.run(workplace.prepare_order(training=pinned), workplace.reporter)
    short_of_memory(0, monkeypatch, ERRORS[1])
    with pytest.raises(UserError, match=r"not even one example at a time fits .* raise spec\.resources\.memory") as caught:
        step.run(workplace.train_order(training=pinned), workplace.reporter)
    assert caught.value.reason is Reason.HOST_MEMORY_EXCEEDED
