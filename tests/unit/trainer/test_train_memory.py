"""Running out of memory: smaller portions, the same steps; where nothing is left to try, the user is told."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from interruptions import checkpoints_folder, stages, start
from workplaces import TRAINING, MakeWorkplace, Workplace, eps_rows, losses, prepared_with, trained

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.orders import COMPUTE_VARIABLE
from finetune_api.quantization import Quantization
from finetune_api.results import Failure, parse_result
from finetune_trainer import prepare_training
from finetune_trainer.failures import MemoryExhausted, UserError
from finetune_trainer.train import step
from finetune_trainer.train.completion_trainer import CompletionTrainer
from finetune_trainer.train.devices import Device
from finetune_trainer.train.memory import (
    is_out_of_memory,
    learning_fits,
    learning_remedies,
    loading_fits,
    loading_remedies,
)
from finetune_trainer.train.portions import Portions, portions_for

EXACT: dict[str, Any] = TRAINING | {"precision": "float32"}
NO_DROPOUT = {"dropout": "0"}
CPU_ERROR = RuntimeError("[enforce fail at alloc_cpu.cpp:131] err == 0. DefaultCPUAllocator: can't allocate memory")
GPU_ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def short_of_memory(limit: float, monkeypatch: pytest.MonkeyPatch, error: Exception, from_step: int = 1) -> None:
    """A device on which at most so many examples fit at once; with activation checkpointing one counts half."""
    original = CompletionTrainer.training_step

    def training_step(trainer: CompletionTrainer, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        needed = inputs["input_ids"].shape[0] * (0.5 if trainer.args.activation_checkpointing else 1)
        if needed > limit and trainer.state.global_step + 1 >= from_step:
            raise error
        return original(trainer, model, inputs, *args, **kwargs)

    monkeypatch.setattr(CompletionTrainer, "training_step", training_step)


def short_of_tokens(limit: int, monkeypatch: pytest.MonkeyPatch, error: Exception, from_step: int) -> None:
    """A device on which at most so many tokens fit at once."""
    original = CompletionTrainer.training_step

    def training_step(trainer: CompletionTrainer, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        if inputs["input_ids"].numel() > limit and trainer.state.global_step + 1 >= from_step:
            raise error
        return original(trainer, model, inputs, *args, **kwargs)

    monkeypatch.setattr(CompletionTrainer, "training_step", training_step)


def exhausted(workplace: Workplace, **changes: Any) -> MemoryExhausted:
    with pytest.raises(MemoryExhausted) as caught:
        step.run(workplace.train_order(**changes), workplace.reporter)
    assert caught.value.exit_code is ExitCode.GPU_OUT_OF_MEMORY
    return caught.value


def fit(workplace: Workplace) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((checkpoints_folder(workplace) / "fit.json").read_text())
    return document


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (GPU_ERROR, True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (CPU_ERROR, True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_running_out_of_memory_has_many_names(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) is is_memory


@pytest.mark.parametrize(
    ("device", "error", "reason"),
    [
        ("cuda:0", GPU_ERROR, Reason.INSUFFICIENT_GPU_MEMORY),
        ("cuda:0", CPU_ERROR, Reason.HOST_MEMORY_EXCEEDED),
        ("cuda:0", MemoryError(), Reason.HOST_MEMORY_EXCEEDED),
        ("cpu", CPU_ERROR, Reason.HOST_MEMORY_EXCEEDED),
    ],
)
def test_a_model_that_does_not_fit_is_told_with_whose_memory_it_was(
    device: str, error: Exception, reason: Reason
) -> None:
    """Weights go through the pod's memory on their way to the GPU."""
    with pytest.raises(UserError) as caught, loading_fits(Device(device), loading_remedies(Quantization.NONE)):
        raise error
    assert caught.value.reason is reason


NF4_REMEDY = "set spec.quantization: nf4"


@pytest.mark.parametrize(
    ("quantization", "is_offered"), [(Quantization.NONE, True), (Quantization.INT8, True), (Quantization.NF4, False)]
)
def test_smaller_weights_are_a_remedy_only_where_there_are_smaller_ones(
    quantization: Quantization, is_offered: bool
) -> None:
    for remedies in (loading_remedies(quantization), learning_remedies(quantization, 100)):
        assert (NF4_REMEDY in remedies.told(is_gpu=True)) is is_offered
        assert "use GPUs with more memory" in remedies.told(is_gpu=True)
        assert NF4_REMEDY not in remedies.told(is_gpu=False)


@pytest.mark.parametrize(
    ("device", "error", "whose"),
    [
        ("cuda:0", GPU_ERROR, "the GPU's memory: lower spec.training.sequenceLength (the longest example takes 77"),
        ("cuda:0", CPU_ERROR, "the pod's memory: raise spec.resources.memory"),
        ("cpu", CPU_ERROR, "the pod's memory: raise spec.resources.memory"),
    ],
)
def test_the_end_of_the_ladder_is_out_of_memory_for_good(
    tmp_path: Path, device: str, error: Exception, whose: str
) -> None:
    smallest = Portions(micro_batch_size=1, accumulation=8, activation_checkpointing=True)
    with (
        pytest.raises(UserError) as caught,
        learning_fits(Device(device), smallest, 77, Quantization.NF4, tmp_path),
    ):
        raise error
    assert (caught.value.reason, caught.value.exit_code) == (Reason.OUT_OF_MEMORY, ExitCode.USER)
    assert f"not even one example at a time fits into {whose}" in caught.value.message
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> list[float]:
    """Losses of a training that had memory enough for eight examples at once."""
    workplace = Workplace(tmp_path_factory.mktemp("undisturbed"), tiny_model)
    workplace.write_rows(eps_rows(40))
    trained(workplace, training=EXACT, lora=NO_DROPOUT)
    return losses(workplace)


@pytest.mark.parametrize("error", [CPU_ERROR, GPU_ERROR])
def test_the_micro_batch_is_halved_and_the_steps_stay_the_same(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, undisturbed: list[float], error: Exception
) -> None:
    """The memory runs short after the first checkpoint, in the second epoch."""
    order: dict[str, Any] = {"training": EXACT, "lora": NO_DROPOUT}
    prepare_training.run(workplace.prepare_order(**order), workplace.reporter)
    short_of_memory(2, monkeypatch, error, from_step=6)
    for portions, smaller in (("8 examples at once", "4 at once"), ("4 examples at once", "2 at once")):
        message = exhausted(workplace, **order).message
        assert f"{portions} do not fit into memory; the next attempt takes {smaller}, 8 a step as before" in message
    step.run(workplace.train_order(**order), workplace.reporter)
    assert stages(workplace).count("training on from step 4") == 2
    assert losses(workplace) == pytest.approx(undisturbed, abs=1e-5)


def test_below_one_example_activations_are_computed_twice_and_the_steps_stay_the_same(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, undisturbed: list[float]
) -> None:
    order: dict[str, Any] = {"training": EXACT | {"micro_batch_size": 1}, "lora": NO_DROPOUT}
    prepare_training.run(workplace.prepare_order(**order), workplace.reporter)
    short_of_memory(0.5, monkeypatch, CPU_ERROR)
    assert "activation checkpointing" in exhausted(workplace, **order).message
    assert (fit(workplace)["microBatchSize"], fit(workplace)["activationCheckpointing"]) == (1, True)
    step.run(workplace.train_order(**order), workplace.reporter)
    assert losses(workplace) == pytest.approx(undisturbed, abs=1e-5)


@pytest.mark.parametrize(("micro_batch_size", "checkpointing"), [(4, False), (2, True), (8, True)])
def test_portions_change_no_loss(
    workplace: Workplace, undisturbed: list[float], micro_batch_size: int, checkpointing: bool
) -> None:
    portions = {"micro_batch_size": micro_batch_size, "activation_checkpointing": checkpointing}
    trained(workplace, training=EXACT | portions, lora=NO_DROPOUT)
    assert losses(workplace) == pytest.approx(undisturbed, abs=1e-5)


KILLED_FOR_MEMORY = """
import os, signal
from finetune_trainer.train.completion_trainer import CompletionTrainer

original = CompletionTrainer.training_step

def training_step(trainer, *args, **kwargs):
    if trainer.state.global_step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(trainer, *args, **kwargs)

CompletionTrainer.training_step = training_step
"""
"""In the sixth step, as the kernel does it."""


def test_a_kill_for_the_pods_memory_keeps_the_micro_batch(
    workplace: Workplace, tmp_path: Path, undisturbed: list[float]
) -> None:
    """Exit code 137 says that the pod's memory is too small, and not that a micro-batch is too large."""
    order: dict[str, Any] = {"training": EXACT, "lora": NO_DROPOUT}
    prepared = prepare_training.run(workplace.prepare_order(**order), workplace.reporter)
    planned = portions_for(workplace.train_order(**order).training, prepared.plan, checkpoints_folder(workplace))
    with start(workplace, tmp_path / "log", before=KILLED_FOR_MEMORY, **order) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (checkpoints_folder(workplace) / "fit.json").exists()
    step.run(workplace.train_order(**order), workplace.reporter)
    assert "training on from step 4" in stages(workplace)
    after = portions_for(workplace.train_order(**order).training, prepared.plan, checkpoints_folder(workplace))
    assert after == planned
    assert losses(workplace) == pytest.approx(undisturbed, abs=1e-5)


def test_packed_rows_get_shorter_when_nothing_else_is_left_and_the_training_starts_anew(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = {"training": TRAINING | {"sequence_length": 256, "packing": True, "activation_checkpointing": True}}
    two_rows = {"packing": True, "rows_per_step": 2, "micro_batch_size": 1, "gradient_accumulation": 2}
    prepared = prepared_with(workplace, two_rows, **order)
    assert prepared.dataset.longest <= 128
    short_of_tokens(128, monkeypatch, CPU_ERROR, from_step=5)
    message = exhausted(workplace, **order).message
    assert "a row of 256 tokens does not fit into memory; the next attempt fills rows of 128, 4 a step" in message
    summary = step.run(workplace.train_order(**order), workplace.reporter).training
    assert summary.steps == len(losses(workplace))
    assert not [stage for stage in stages(workplace) if stage.startswith("training on")]
    packings = [stage for stage in stages(workplace) if stage.startswith("packed 36 examples into ")]
    assert [packing.rpartition("of ")[2] for packing in packings] == ["256 tokens", "128 tokens"]


def test_when_nothing_is_left_to_try_the_user_is_told_what_to_change(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = TRAINING | {"micro_batch_size": 1}
    prepare_training.run(workplace.prepare_order(training=pinned), workplace.reporter)
    short_of_memory(0, monkeypatch, CPU_ERROR)
    exhausted(workplace, training=pinned)
    with pytest.raises(UserError, match="not even one example at a time fits") as caught:
        step.run(workplace.train_order(training=pinned), workplace.reporter)
    assert caught.value.reason is Reason.OUT_OF_MEMORY
    assert "raise spec.resources.memory" in caught.value.message


# The allocator itself

LITTLE_MEMORY = """
import resource
from pathlib import Path
from finetune_trainer.train.completion_trainer import CompletionTrainer

original = CompletionTrainer.training_step

def training_step(trainer, *args, **kwargs):
    if trainer.state.global_step == 5:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + (4 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    return original(trainer, *args, **kwargs)

CompletionTrainer.training_step = training_step
"""
"""From the sixth step on hardly any memory is left for it."""


def test_an_allocator_that_fails_is_not_a_defect(
    make_workplace: MakeWorkplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Examples long enough for a step to need what is not there: tens of MiB. (Left to itself, the C library may keep
    that much from the steps before, or have reserved it for another thread.)"""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(64 << 10))
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    rows = [row | {"input": row["input"] * 12} for row in eps_rows(40)]
    order: dict[str, Any] = {"training": EXACT | {"micro_batch_size": 8, "sequence_length": 512}, "lora": NO_DROPOUT}
    whole, short = make_workplace("whole"), make_workplace("short")
    for place in (whole, short):
        place.write_rows(rows)
    trained(whole, **order)
    prepare_training.run(short.prepare_order(**order), short.reporter)
    log = tmp_path / "log"
    with start(short, log, before=LITTLE_MEMORY, **order) as process:
        process.communicate()
    assert process.returncode != -signal.SIGKILL
    failure = parse_result(log.read_text())
    assert isinstance(failure, Failure)
    assert (process.returncode, failure.reason) == (ExitCode.GPU_OUT_OF_MEMORY, Reason.OUT_OF_MEMORY), failure.message
    assert fit(short)["microBatchSize"] == 4
    step.run(short.train_order(**order), short.reporter)
    assert "training on from step 4" in stages(short)
    assert losses(short) == pytest.approx(losses(whole), abs=1e-5)


def test_the_peak_is_told_beside_the_planned_one(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMPUTE_VARIABLE, "cpu")
    prepared = prepare_training.run(workplace.prepare_order(gpus=1), workplace.reporter)
    assert prepared.plan.memory is not None
    summary = step.run(workplace.train_order(gpus=1), workplace.reporter).training
    assert summary.peak_memory_bytes > 50 * 2**20
    assert summary.planned_peak_bytes == prepared.plan.memory.peak_bytes > 0
