"""A training that was stopped, killed or short of memory goes on as if nothing had happened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from workplaces import TRAINING, MakeWorkplace, Workplace, eps_rows, losses, trained

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.quantization import Method, Quantization
from finetune_api.results import TrainResult
from finetune_trainer import prepare_training
from finetune_trainer.failures import MemoryExhausted, StoppedError, UserError
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.train import step
from finetune_trainer.train.completion_trainer import CompletionTrainer
from finetune_trainer.train.memory import is_out_of_memory

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


@dataclass(frozen=True)
class Form:
    """How the base model's weights are kept."""

    method: Method
    quantization: Quantization | None


LORA = Form(Method.LORA, None)
NF4 = Form(Method.QLORA, Quantization.NF4)


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path
) -> Callable[[Form], tuple[Workplace, TrainResult]]:
    """A training without interruption, done once for each form."""

    @cache
    def train(form: Form) -> tuple[Workplace, TrainResult]:
        workplace = Workplace(tmp_path_factory.mktemp("uninterrupted"), tiny_model)
        workplace.write_rows(eps_rows(40))
        return workplace, trained(workplace, method=form.method, quantization=form.quantization)

    return train


@pytest.mark.parametrize(("form", "told_at"), [(LORA, 2), (LORA, 4), (LORA, 7), (NF4, 2)])
def test_a_resumed_training_takes_the_same_steps(
    workplace: Workplace, uninterrupted: Callable[[Form], tuple[Workplace, TrainResult]], form: Form, told_at: int
) -> None:
    """Told to stop in the first epoch, at its end, and in the second; the step that is going on is still finished."""
    whole, expected = uninterrupted(form)
    order = workplace.prepare_order(method=form.method, quantization=form.quantization)
    prepare_training.run(order, workplace.reporter)
    error = stopped(workplace, at=told_at)
    assert error.message.startswith(f"stopped as told after step {told_at + 1} of 10; the checkpoint of step")
    assert checkpoints(workplace) == [f"checkpoint-{told_at + 1}"]
    resumed = step.run(workplace.train_order(), workplace.reporter)
    assert losses(workplace) == pytest.approx(losses(whole), abs=1e-6)
    assert resumed.training.adapter_digest == expected.training.adapter_digest
    assert resumed.training.validation_loss == expected.training.validation_loss


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
        ("loading the base model", 0, "nothing had been learnt yet"),
        ("validating", 0, "the checkpoint of step 10 is kept"),
    ],
)
def test_a_stop_at_another_moment_says_what_is_kept(workplace: Workplace, stage: str, at: int, kept: str) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    assert stopped(workplace, stage, at).message == f"stopped as told; {kept}"
    assert step.run(workplace.train_order(), workplace.reporter).training.steps == 10


def test_the_model_is_not_loaded_when_the_stop_came_before(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace, "starting", 0)
    assert "loading the base model" not in [event.get("stage") for event in workplace.events]


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


OUT_OF_MEMORY = RuntimeError("[enforce fail at alloc_cpu.cpp:131] err == 0. DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (OUT_OF_MEMORY, True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_running_out_of_memory_has_many_names(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) is is_memory


def test_short_of_memory_the_micro_batch_is_halved_and_the_steps_stay_the_same(
    make_workplace: MakeWorkplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_dropout = {"dropout": "0"}
    whole, short = make_workplace("whole"), make_workplace("short")
    trained(whole, lora=no_dropout)
    prepare_training.run(short.prepare_order(lora=no_dropout), short.reporter)
    short_of_memory(2, monkeypatch, OUT_OF_MEMORY)
    for portions, smaller in (("8 examples at once", "4 at once"), ("4 examples at once", "2 at once")):
        with pytest.raises(MemoryExhausted, match=f"{portions} do not fit.*{smaller}, 8 a step as before") as caught:
            step.run(short.train_order(lora=no_dropout), short.reporter)
        assert caught.value.exit_code is ExitCode.GPU_OUT_OF_MEMORY
    step.run(short.train_order(lora=no_dropout), short.reporter)
    assert losses(short) == pytest.approx(losses(whole), abs=0.02)


def test_when_not_even_one_example_fits_the_user_is_told_what_to_change(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = TRAINING | {"micro_batch_size": 1}
    prepare_training.run(workplace.prepare_order(training=pinned), workplace.reporter)
    short_of_memory(0, monkeypatch, OUT_OF_MEMORY)
    with pytest.raises(UserError, match="not even one example at a time fits") as caught:
        step.run(workplace.train_order(training=pinned), workplace.reporter)
    assert caught.value.reason is Reason.HOST_MEMORY_EXCEEDED
    assert "raise spec.resources.memory" in caught.value.message
