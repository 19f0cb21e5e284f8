"""Peaks that others measured and published, a row each, and what this trainer's formula says of them.

Columns that are not plain: `measured` is `allocated` (torch's own figure, without CUDA context and fragmentation) or
`device` (all that is in use); `adapter_bytes` of one number of the adapter, where 8 is DeepSpeed ZeRO-2, which keeps
16-bit and 32-bit copies and flat buffers; `upcast`, `keeps_inputs` and `compiled` are properties of the framework's
version, explained in `Setup`. To have a further row tested, add it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from finetune_api.quantization import Attention, Quantization, Sharding
from finetune_trainer.planning.dimensions import ModelDimensions, read_dimensions
from finetune_trainer.planning.memory import CUDA_CONTEXT, GIB, LossKernel, Setup, estimate, total

FILE = Path(__file__).with_name("published_peaks.csv")
FITTED_ON = "fms-acceleration"
"""The framework whose peaks the constants of the working set and the scores were checked against; its figures are the
cleanest. All others are only tested with."""


@dataclass(frozen=True)
class PublishedPeak:
    """One row."""

    framework: str
    name: str
    dimensions: ModelDimensions
    setup: Setup
    is_allocated: bool
    peak: float
    """Bytes."""

    @property
    def predicted(self) -> int:
        """What the formula says of the same figure that was measured."""
        parts = estimate(self.dimensions, self.setup)
        return total(parts) - (parts.context if self.is_allocated else 0)

    @property
    def error(self) -> float:
        return self.predicted / self.peak - 1

    @property
    def planned(self) -> int:
        return total(estimate(self.dimensions, self.setup))

    @property
    def on_the_device(self) -> float:
        """At least so much of the GPU was in use."""
        return self.peak + (CUDA_CONTEXT if self.is_allocated else 0)


def published_peaks() -> list[PublishedPeak]:
    with FILE.open() as file:
        return [_peak(row) for row in csv.DictReader(file)]


def _peak(row: Mapping[str, str]) -> PublishedPeak:
    size = f"{row['quantization']}, {row['batch']} x {row['length']}, {row['loss']}"
    return PublishedPeak(
        framework=row["framework"],
        name=f"{row['framework']} {row['model']} {size}",
        dimensions=read_dimensions(_config(row)),
        setup=_setup(row),
        is_allocated=row["measured"] == "allocated",
        peak=float(row["peak_gib"]) * GIB,
    )


def _config(row: Mapping[str, str]) -> dict[str, object]:
    # The first Qwen's config.json counts both halves of the gate.
    doubled = 2 if row["model_type"] == "qwen" else 1
    return {
        "model_type": row["model_type"],
        "hidden_size": int(row["hidden"]),
        "num_attention_heads": int(row["heads"]),
        "num_key_value_heads": int(row["key_value_heads"]),
        "head_dim": int(row["head_size"]),
        "intermediate_size": int(row["feed_forward"]) * doubled,
        "num_hidden_layers": int(row["layers"]),
        "vocab_size": int(row["vocabulary"]),
        "tie_word_embeddings": row["tied"] == "1",
    }


def _setup(row: Mapping[str, str]) -> Setup:
    def is_set(column: str) -> bool:
        return row[column] == "1"

    return Setup(
        targets=tuple(row["modules"].split()),
        rank=int(row["rank"]),
        micro_batch_size=int(row["batch"]),
        length=int(row["length"]),
        quantization=Quantization(row["quantization"]),
        checkpointing=is_set("checkpointing"),
        attention=Attention(row["attention"]),
        dropout=is_set("dropout"),
        sharding=Sharding(row["sharding"]),
        ranks=int(row["gpus"]),
        loss=LossKernel(row["loss"]),
        adapter_bytes=int(row["adapter_bytes"]),
        upcast=is_set("upcast"),
        double_quantization=is_set("double_quantization"),
        keeps_inputs=is_set("keeps_inputs"),
        compiled=is_set("compiled"),
    )
