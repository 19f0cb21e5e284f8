"""The plan as a table for people and as JSON for machines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetune_trainer.planning.decision import Decision
from finetune_trainer.planning.demand import Demand
from finetune_trainer.planning.memory import GIB
from finetune_trainer.planning.method import method_of
from finetune_trainer.planning.profiles import Framework
from finetune_trainer.planning.steps import Steps
from finetune_trainer.planning.throughput import Forecast

if TYPE_CHECKING:
    from finetune_trainer.plan_command.sampling import DatasetEstimate

_CPU_NOTE = "computes on the CPU: no GPU memory is planned"


@dataclass(frozen=True)
class Report:
    """Everything that was decided. Without a dataset there are no steps and no hours."""

    demand: Demand
    decision: Decision
    dataset: DatasetEstimate | None
    steps: Steps | None
    forecast: Forecast
    product: str | None
    guard_note: str | None = None
    detectable: float | None = None
    """Smallest true difference of one task that the evaluation finds in four cases of five, as a share."""
    framework: Framework = Framework.OWN

    def to_json(self) -> str:
        return json.dumps(self._document(), indent=2)

    def to_table(self) -> str:
        lines = [
            *self._form_lines(),
            *self._memory_lines(),
            *self._dataset_lines(),
            *self._hours_lines(),
            *self._guard_lines(),
            *self._evaluation_lines(),
        ]
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in lines)

    def _document(self) -> dict[str, Any]:
        choice = self.decision.choice
        method, quantization = method_of(choice.quantization)
        return {
            "method": method,
            "quantization": quantization,
            "precision": self.demand.precision,
            "microBatchSize": choice.micro_batch_size,
            "gradientAccumulation": self.decision.accumulation,
            "activationCheckpointing": choice.checkpointing,
            "attention": self.demand.attention,
            "sharding": choice.sharding,
            "gpus": self.demand.gpus,
            "nodes": self.demand.nodes,
            "packing": self.demand.packing,
            "rowsPerStep": self.steps.rows_per_step if self.steps and self.demand.packing else None,
            "rowsNote": self.steps.note if self.steps else None,
            "tokensPerRow": self.demand.length,
            "memory": self._memory(),
            "minimumGPUMemoryMiB": self.decision.minimum_gpu_memory_mib,
            "dataset": self._dataset(),
            "steps": self.steps.total if self.steps else None,
            "stepsPerEpoch": self.steps.per_epoch if self.steps else None,
            "hours": _rounded(self.forecast.hours, 3),
            "hoursInterval": self._hours_interval(),
            "energyKWh": _rounded(self.forecast.energy_kwh, 3),
            "hoursNote": self.forecast.note,
            "guardNote": self.guard_note,
            "minimumDetectableEffect": _rounded(self.detectable, 4),
        }

    def _memory(self) -> dict[str, Any]:
        memory = self.decision.memory
        if memory is None:
            return {"peakBytes": None, "parts": None, "note": _CPU_NOTE}
        loss = self.demand.profile.habits(self.decision.choice.quantization).loss
        return {**memory.to_manifest(), "like": self.framework, "lossKernel": loss}

    def _dataset(self) -> dict[str, Any] | None:
        if self.dataset is None:
            return None
        low, high = self.dataset.interval
        return {
            "trainingExamples": self.dataset.examples,
            "sampled": self.dataset.sampled,
            "meanTokens": round(self.dataset.mean, 1),
            "meanTokensInterval": [round(low, 1), round(high, 1)],
        }

    def _hours_interval(self) -> list[float] | None:
        """From the interval of the mean length; the speed's own spread is not in it."""
        if self.dataset is None or self.forecast.hours is None:
            return None
        return [round(self.forecast.hours * bound / self.dataset.mean, 3) for bound in self.dataset.interval]

    def _form_lines(self) -> list[tuple[str, str]]:
        choice = self.decision.choice
        method, quantization = method_of(choice.quantization)
        rows = "rows" if self.demand.packing else "examples"
        per_gpu = f" on each of {self.demand.ranks} GPUs ({choice.sharding})" if self.demand.ranks > 1 else ""
        return [
            ("method", f"{method}, weights {self.demand.precision if quantization == 'none' else quantization}"),
            ("activation checkpointing", "on" if choice.checkpointing else "off"),
            ("micro-batch", f"{choice.micro_batch_size} {rows} of at most {self.demand.length} tokens{per_gpu}"),
            ("accumulation", f"{self.decision.accumulation} micro-batches a step{per_gpu}"),
        ]

    def _memory_lines(self) -> list[tuple[str, str]]:
        memory = self.decision.memory
        if memory is None:
            return [("memory", _CPU_NOTE)]
        parts = [(f"  {name}", _gib(size)) for name, size in memory.parts.model_dump().items()]
        is_own = self.framework is Framework.OWN
        peak = _gib(memory.peak_bytes) + (self._own_note() if is_own else "")
        lines = [("memory of a GPU, peak" + ("" if is_own else f", like {self.framework}"), peak), *parts]
        if memory.limit_bytes is not None and memory.reserve_bytes is not None:
            lines.append(("  reserve", f"{_gib(memory.reserve_bytes)} of {_gib(memory.limit_bytes).strip()}"))
        if memory.correction is not None:
            lines.append(("  correction", f"x {memory.correction}, as earlier trainings took"))
        return lines

    def _own_note(self) -> str:
        """A peak that is compared with another framework's is often another loss."""
        loss = self.demand.profile.habits(self.decision.choice.quantization).loss
        return f", of this trainer, with its {loss} loss; other frameworks: --like"

    def _dataset_lines(self) -> list[tuple[str, str]]:
        if self.dataset is None or self.steps is None:
            filled = f"; a step is taken to have {self.demand.rows_per_step} packed rows" if self.demand.packing else ""
            return [("steps", f"not known: give --datasets{filled}")]
        within = "" if self.dataset.is_whole else f", give or take {self.dataset.half_width:.1f}"
        rows = [("packed rows", self.steps.note)] if self.steps.note else []
        return [
            *rows,
            ("examples", f"{self.dataset.examples} of {self.dataset.mean:.1f} tokens{within}"),
            ("steps", f"{self.steps.total} ({self.steps.per_epoch} an epoch, {self.steps.rows_per_step} rows each)"),
        ]

    def _hours_lines(self) -> list[tuple[str, str]]:
        if self.forecast.hours is None:
            return [("hours", f"not known: {self.forecast.note}")]
        low, high = self._hours_interval() or (self.forecast.hours, self.forecast.hours)
        lines = [("hours", f"{self.forecast.hours:.2f} ({low:.2f} to {high:.2f}), {self.forecast.note}")]
        if self.forecast.energy_kwh is not None:
            lines.append(("energy", f"{self.forecast.energy_kwh:.2f} kWh"))
        return lines

    def _guard_lines(self) -> list[tuple[str, str]]:
        return [] if self.guard_note is None else [("warning", self.guard_note)]

    def _evaluation_lines(self) -> list[tuple[str, str]]:
        if self.detectable is None:
            return []
        points = f"{100 * self.detectable:.1f} points of one task, in four cases of five"
        return [("detectable difference", points)]


def _gib(size: int) -> str:
    return f"{size / GIB:7.2f} GiB"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
