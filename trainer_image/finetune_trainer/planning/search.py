"""Which form of a training fits which GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from finetune_api.gpu_choice import eligible
from finetune_api.planning import GpuClass, MemoryParts
from finetune_api.quantization import Sharding
from finetune_trainer.planning.demand import Choice, Demand
from finetune_trainer.planning.dimensions import ModelDimensions
from finetune_trainer.planning.memory import GIB, estimate, total
from finetune_trainer.planning.throughput import Experience

RESERVE_SHARE = 0.18
"""Of a GPU's memory stays free, since the figures are estimates: what the published peaks ask for."""
MEASURED_RESERVE_SHARE = 0.08
"""The same once an earlier training of the model on such a GPU has corrected the estimate."""
SMALLEST_RESERVE = int(1.5 * GIB)
LONGEST_MICRO_BATCH_SECONDS = 3
"""With a guard: it can only rest between micro-batches."""

CAUTIOUS_FLOPS = 30e12
"""Operations a second that a GPU is trusted with before any training of the model was measured on it: below the slowest
published figure that is known (34e12: 7B, nf4, rows of 512 tokens on an A100). Only a guard's cap follows from it,
where too low a figure costs little; it is never told as a speed."""
OPERATIONS_A_WEIGHT = 6
"""A token and weight, forward and backward: 2 and 4, as https://arxiv.org/abs/2001.08361 counts them."""
LARGEST_WHOLE_BASE = 40 * 10**9
"""Bytes of a base model that each of several GPUs of unknown memory is given whole: 20B weights in bfloat16. More
leaves no room on the usual GPUs of 40 and 48 GB, and too little for rows on one of 80 GB."""

FindExperience = Callable[[str | None], Experience]
"""What is known of trainings of the model on a kind of GPU."""


@dataclass(frozen=True)
class Need:
    """What a choice takes of one GPU."""

    parts: MemoryParts
    correction: float | None

    @property
    def peak(self) -> int:
        return total(self.parts)

    @property
    def memory(self) -> int:
        """Bytes of the smallest GPU that holds the peak and the reserve."""
        share = RESERVE_SHARE if self.correction is None else MEASURED_RESERVE_SHARE
        return max(int(self.peak / (1 - share)) + 1, self.peak + SMALLEST_RESERVE)

    def reserve(self, limit: int) -> int:
        share = RESERVE_SHARE if self.correction is None else MEASURED_RESERVE_SHARE
        return max(SMALLEST_RESERVE, int(limit * share))


@dataclass(frozen=True)
class Fit:
    """A choice, what it needs, and the GPU that has it (None where none is known)."""

    choice: Choice
    need: Need
    gpu: GpuClass | None = None


def search(
    model: ModelDimensions,
    demand: Demand,
    gpus: Sequence[GpuClass],
    experience: FindExperience,
    *,
    is_guarded: bool,
) -> Fit | None:
    """The fastest form that fits, on the smallest GPU that it fits, in the largest portions; None if nothing fits."""
    for form in demand.choices():
        for gpu in suitable(gpus, demand):
            known = experience(gpu.product)
            for size in demand.micro_batches(_most_tokens(model, known, form, demand) if is_guarded else None):
                choice = replace(form, micro_batch_size=size)
                need = need_of(model, demand, choice, known)
                if need.memory <= memory_of(gpu):
                    return Fit(choice, need, gpu)
    return None


def without_limit(model: ModelDimensions, demand: Demand, *, is_guarded: bool) -> Fit:
    """Where no GPU is known nothing is ruled out; checkpointing is what most often saves the day."""
    forms = list(demand.choices())
    form = next((form for form in forms if form.checkpointing), forms[0])
    shared = replace(form, sharding=Sharding.FSDP)
    if shared in forms and estimate(model, demand.setup(form)).weights > LARGEST_WHOLE_BASE:
        form = shared
    sizes = demand.micro_batches(_cautious_tokens(model) if is_guarded else None)
    choice = replace(form, micro_batch_size=sizes[0])
    return Fit(choice, Need(estimate(model, demand.setup(choice)), None))


def least_need(model: ModelDimensions, demand: Demand, experience: Experience) -> Need:
    """Of the forms that the spec leaves open, in the smallest portions."""
    smallest = demand.micro_batches()[-1]
    choices = [replace(form, micro_batch_size=smallest) for form in demand.choices()]
    return min((need_of(model, demand, choice, experience) for choice in choices), key=lambda need: need.peak)


def need_of(model: ModelDimensions, demand: Demand, choice: Choice, experience: Experience) -> Need:
    parts = estimate(model, demand.setup(choice))
    correction = experience.correction
    return Need(parts if correction is None else _corrected(parts, correction), correction)


def suitable(gpus: Sequence[GpuClass], demand: Demand) -> list[GpuClass]:
    """Those whose memory the plan can count on, the smallest first."""
    return eligible(gpus, demand.gpus, demand.nodes)


def memory_of(gpu: GpuClass) -> int:
    return gpu.memory_mib * 2**20


def _most_tokens(model: ModelDimensions, known: Experience, form: Choice, demand: Demand) -> float:
    """Of a micro-batch that a guard can wait for."""
    speed = known.tokens_per_second(demand.form(form))
    return _cautious_tokens(model) if speed is None else speed * LONGEST_MICRO_BATCH_SECONDS


def _cautious_tokens(model: ModelDimensions) -> float:
    """The same while no speed is known."""
    weights = model.linear_parameters + model.embedding_parameters
    return LONGEST_MICRO_BATCH_SECONDS * CAUTIOUS_FLOPS / (OPERATIONS_A_WEIGHT * weights)


def _corrected(parts: MemoryParts, correction: float) -> MemoryParts:
    """Weights and adapter are known to the byte, so what was measured beside the plan is put down to the rest."""
    rest = parts.activations + parts.logits + parts.context
    known = total(parts) - rest
    factor = max(0.5, (total(parts) * correction - known) / rest)
    changed = ("activations", "logits", "context")
    return parts.model_copy(update={name: int(getattr(parts, name) * factor) for name in changed})
