"""The answer to a demand: a form that fits, or an error that says what to change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_api.conditions import Reason
from finetune_api.gpu_choice import has_memory_of_its_own
from finetune_api.guard import Guard
from finetune_api.planning import GpuClass, Measured, MemoryPlan
from finetune_trainer.failures import UserError
from finetune_trainer.planning.demand import Choice, Demand
from finetune_trainer.planning.dimensions import ModelDimensions, UnplannableModelError, read_dimensions
from finetune_trainer.planning.memory import GIB
from finetune_trainer.planning.portions import largest_divisor
from finetune_trainer.planning.remedies import smallest_change
from finetune_trainer.planning.search import (
    LONGEST_MICRO_BATCH_SECONDS,
    Fit,
    Need,
    least_need,
    memory_of,
    search,
    suitable,
    without_limit,
)
from finetune_trainer.planning.throughput import Experience, Forecast


@dataclass(frozen=True)
class Decision:
    """What was chosen. Without a GPU, or for the CPU, nothing is said about memory that would have to fit."""

    choice: Choice
    accumulation: int
    memory: MemoryPlan | None
    gpu: GpuClass | None
    minimum_gpu_memory_mib: int | None


@dataclass(frozen=True)
class Situation:
    """What the decision depends on besides the demand."""

    gpus: Sequence[GpuClass]
    measured: Sequence[Measured]
    base_model_digest: str | None
    guard: Guard | None

    @property
    def is_guarded(self) -> bool:
        return self.guard is not None

    def experience(self, product: str | None) -> Experience:
        return Experience(self.measured, self.base_model_digest, product)

    def forecast(self, decision: Decision, demand: Demand, tokens: int) -> Forecast:
        """Hours and kWh for so many tokens, all epochs together."""
        if demand.gpus and decision.gpu is None:
            return Forecast(None, None, "no GPU of the cluster is known, so there is no figure of an earlier training")
        max_watts = self.guard.max_power_watts if self.guard and demand.gpus else None
        form = demand.form(decision.choice)
        return self._experience_of(decision).forecast(form, tokens, demand.ranks, max_watts)

    def guard_note(self, decision: Decision, demand: Demand) -> str | None:
        """What to do about a micro-batch that takes longer than a guard can wait for, where the speed is known: the
        spec pins it, or a single row takes so long. None where all is well."""
        speed = self._experience_of(decision).tokens_per_second(demand.form(decision.choice))
        if self.guard is None or not demand.gpus or not speed:
            return None
        seconds_a_row = demand.length / speed
        size = decision.choice.micro_batch_size
        if size * seconds_a_row <= LONGEST_MICRO_BATCH_SECONDS:
            return None
        most = largest_divisor(demand.share, max(1, int(LONGEST_MICRO_BATCH_SECONDS / seconds_a_row)))
        remedy = f"set at most {most}" if most < size else "lower spec.training.sequenceLength"
        return (
            f"{_rows_worded(demand, size)} about {size * seconds_a_row:.1f} s, "
            f"and a guard can only rest between micro-batches, {LONGEST_MICRO_BATCH_SECONDS} s apart: {remedy}"
        )

    def _experience_of(self, decision: Decision) -> Experience:
        return self.experience(decision.gpu.product if decision.gpu else None)


def _rows_worded(demand: Demand, size: int) -> str:
    field = "" if demand.micro_batch_size is None else "spec.training.microBatchSize: "
    rows = f"one row of {demand.length} tokens takes" if size == 1 else f"{size} rows of {demand.length} tokens take"
    return field + rows


def dimensions_of(config: Mapping[str, Any], manifest_field: str) -> ModelDimensions:
    """UserError (ModelInvalid) where the model cannot be planned."""
    try:
        return read_dimensions(config)
    except UnplannableModelError as error:
        raise UserError(Reason.MODEL_INVALID, f"{manifest_field}: {error}") from error


def decide(model: ModelDimensions | None, demand: Demand, situation: Situation) -> Decision:
    """`model` is not needed for the CPU. UserError (InsufficientGPUMemory, SharedGPU) where no GPU that is known
    suffices."""
    if model is None or not demand.gpus:
        return _decide_for_cpu(demand)
    if not situation.gpus:
        return _decision(demand, without_limit(model, demand, is_guarded=situation.is_guarded))
    if not suitable(situation.gpus, demand):
        raise _only_parts(demand, situation.gpus)
    fit = search(model, demand, situation.gpus, situation.experience, is_guarded=situation.is_guarded)
    if fit is None:
        raise _does_not_fit(model, demand, situation)
    return _decision(demand, fit)


def _decide_for_cpu(demand: Demand) -> Decision:
    """A CPU has memory enough for what it has patience for: nothing is computed twice unless the spec says so."""
    first = next(demand.choices())
    choice = Choice(first.quantization, bool(demand.checkpointing), first.sharding, demand.micro_batches()[0])
    return Decision(choice, demand.share // choice.micro_batch_size, None, None, None)


def _decision(demand: Demand, fit: Fit) -> Decision:
    limit = memory_of(fit.gpu) if fit.gpu else None
    memory = MemoryPlan(
        peak_bytes=fit.need.peak,
        parts=fit.need.parts,
        limit_bytes=limit,
        reserve_bytes=fit.need.reserve(limit) if limit else None,
        correction=None if fit.need.correction is None else f"{fit.need.correction:.3f}",
    )
    minimum = -(-fit.need.memory // 2**20) if fit.gpu else None
    return Decision(fit.choice, demand.share // fit.choice.micro_batch_size, memory, fit.gpu, minimum)


def _does_not_fit(model: ModelDimensions, demand: Demand, situation: Situation) -> UserError:
    gpus = suitable(situation.gpus, demand)
    largest = gpus[-1]
    need = least_need(model, demand, situation.experience(largest.product))

    def fits(changed: Demand) -> bool:
        return search(model, changed, gpus, situation.experience, is_guarded=situation.is_guarded) is not None

    change = smallest_change(demand, fits, max(gpu.gpus_per_node for gpu in gpus))
    remedy = f"use a GPU with {need.memory / GIB:.1f} GiB or more"
    left_out = _named(gpu for gpu in situation.gpus if not has_memory_of_its_own(gpu, demand.ranks))
    return UserError(
        Reason.INSUFFICIENT_GPU_MEMORY,
        f"spec.resources: {_worded(demand, need)}, but the largest GPU is {largest.product} with "
        f"{memory_of(largest) / GIB:.1f} GiB"
        + (f" (without {left_out}, whose memory no training has to itself): " if left_out else ": ")
        + (f"set {change}, or {remedy}" if change else remedy),
    )


def _only_parts(demand: Demand, gpus: Sequence[GpuClass]) -> UserError:
    """Where there are GPUs, but each is one that a plan cannot count on."""
    shared, slices = [gpu for gpu in gpus if gpu.shared], [gpu for gpu in gpus if not gpu.shared]
    causes = []
    if shared:
        causes.append(f"{_named(shared)} by time slicing or MPS, where other pods take of the memory that is planned")
    if slices:
        causes.append(f"{_named(slices)} by MIG, whose slices cannot work together")
    single = " or MIG slices" if demand.ranks == 1 else ""
    remedies = ["set gpus: 1 and nodes: 1"] if slices else []
    remedies.append(f"let nodeSelector allow nodes with whole GPUs{single}")
    remedies += ["turn the sharing off on one of these nodes"] if shared else []
    return UserError(
        Reason.SHARED_GPU,
        f"spec.resources: all GPUs that it allows are shared: {' and '.join(causes)}: {', or '.join(remedies)}",
    )


def _named(gpus: Iterable[GpuClass]) -> str:
    """The first few kinds; a message stays readable however many there are."""
    products = sorted({gpu.product for gpu in gpus})
    more = f" and {len(products) - 3} more" if len(products) > 3 else ""
    return ", ".join(products[:3]) + more


def _worded(demand: Demand, need: Need) -> str:
    """The numbers, of the least that the spec asks for."""
    parts = need.parts
    return (
        f"the training needs {need.memory / GIB:.1f} GiB on each GPU at least: a peak of {need.peak / GIB:.1f} GiB "
        f"(weights {parts.weights / GIB:.1f}, activations {parts.activations / GIB:.1f}, for {demand.length} tokens at "
        "once and upwards) and a reserve"
    )
