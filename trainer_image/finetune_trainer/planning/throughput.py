"""What finished trainings of the same model on the same GPU tell about the next one. Without them nothing is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from finetune_api.planning import Measured
from finetune_api.quantization import Method, Precision, Quantization
from finetune_trainer.planning.memory import CUDA_CONTEXT

_LATEST = 5
"""So many of the latest trainings count: drivers and libraries change."""
SMALLEST_CORRECTION = 0.8
LARGEST_CORRECTION = 1.5
"""A figure outside says more about a fault of the measurement than about the next training."""


@dataclass(frozen=True)
class Form:
    """What a training's speed depends on, besides the model and the GPU."""

    method: Method
    quantization: Quantization
    activation_checkpointing: bool
    packing: bool
    precision: Precision = Precision.BFLOAT16
    dora: bool = False


@dataclass(frozen=True)
class Forecast:
    """Hours and kWh, or None, and what they follow from, or why they are not known."""

    hours: float | None
    energy_kwh: float | None
    note: str


def duty(watts: float | None, max_watts: int | None) -> float:
    """Share of the time that a GPU may work which draws `watts` at work, so that its mean stays within the limit.

    limit / watts, at most 1: the energy of a window is duty x watts x its length. What a GPU draws at rest is measured
    by no training, and taken as 0; with it the share is (limit - rest) / (watts - rest), so the hours are the least.
    """
    return 1.0 if watts is None or max_watts is None else min(1.0, max_watts / watts)


class Experience:
    """Finished trainings of one base model on one kind of GPU (None: the CPU)."""

    def __init__(self, measured: Sequence[Measured], base_model_digest: str | None, gpu_product: str | None) -> None:
        self._product = gpu_product
        self._trainings = tuple(
            training
            for training in measured
            if training.base_model_digest == base_model_digest
            and _product_name(training.gpu_product) == _product_name(gpu_product)
        )

    @property
    def correction(self) -> float | None:
        """Measured peak over planned peak, both with the CUDA context, which torch's own figures do not have."""
        ratios = [
            (training.peak_memory_bytes + CUDA_CONTEXT) / training.planned_peak_bytes * float(training.correction or 1)
            for training in self._trainings
            if training.peak_memory_bytes and training.planned_peak_bytes
        ]
        if not ratios:
            return None
        return min(LARGEST_CORRECTION, max(SMALLEST_CORRECTION, median(ratios[:_LATEST])))

    def tokens_per_second(self, form: Form) -> float | None:
        """Of one GPU. Only trainings of the same form count: another one's speed says nothing exact."""
        speeds = [float(training.tokens_per_second) / _devices(training) for training in self._alike(form)]
        return median(speeds) if speeds else None

    def forecast(self, form: Form, tokens: int, gpus: int, max_watts: int | None = None) -> Forecast:
        """For so many tokens, all epochs together, on so many GPUs (or 1 for the CPU). Where these drew more than the
        guard's `max_watts` each, they will have to rest: see `duty`."""
        speed = self.tokens_per_second(form)
        if not speed:
            return Forecast(None, None, f"no finished training of this model as {_worded(form)} on {self._worded()}")
        trainings = self._alike(form)
        drawn = [float(training.mean_watts) / _devices(training) for training in trainings if training.mean_watts]
        watts = median(drawn) if drawn else None
        share = duty(watts, max_watts)
        working = tokens / (speed * gpus) / 3600
        note = f"from {len(trainings)} finished training(s) as {_worded(form)} on {self._worded()}: {speed * gpus:.0f} "
        note += "tokens a second"
        if any(_devices(training) != gpus for training in trainings):
            note += f", scaled to {gpus} GPU(s) from another number of them"
        if share < 1:
            note += f", at work {share:.0%} of the time: they drew {watts:.0f} W each, the guard allows {max_watts} W"
        return Forecast(working / share, None if watts is None else working * watts * gpus / 1000, note)

    def _alike(self, form: Form) -> tuple[Measured, ...]:
        alike = [training for training in self._trainings if _form_of(training) == form]
        return tuple(alike[:_LATEST])

    def _worded(self) -> str:
        return self._product or "the CPU"


def _devices(training: Measured) -> int:
    """GPUs, or the CPU."""
    return max(1, training.gpus)


def _form_of(training: Measured) -> Form:
    return Form(
        method=training.method,
        quantization=training.quantization,
        activation_checkpointing=training.activation_checkpointing,
        packing=training.packing,
        precision=training.precision,
        dora=training.dora,
    )


def _product_name(product: str | None) -> str | None:
    """GPU Feature Discovery writes `NVIDIA-A100-SXM4-80GB` where NVML says `NVIDIA A100-SXM4-80GB`."""
    return None if product is None else product.replace(" ", "-").lower()


def _worded(form: Form) -> str:
    kind = str(form.method) if form.quantization is Quantization.NONE else f"{form.method} {form.quantization}"
    checkpointing = "with" if form.activation_checkpointing else "without"
    others = {
        ", packed": form.packing,
        f", in {form.precision}": form.precision is not Precision.BFLOAT16,
        ", with DoRA": form.dora,
    }
    told = "".join(words for words, is_so in others.items() if is_so)
    return f"{kind} {checkpointing} activation checkpointing{told}"
