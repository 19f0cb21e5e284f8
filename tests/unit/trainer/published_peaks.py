"""Peaks that others measured and published, a row each, and what `finetune plan --like FRAMEWORK` says of them.

A row holds what its source tells of the model and the training, and the framework, as `--like` names it. `loss` differs
from the framework's usual one where the source names another kernel. `measured` is `allocated` (torch's own figure,
without CUDA context and fragmentation) or `device` (all that is in use). To have a further row tested, add it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from finetune_api.planning import MemoryPlan
from finetune_api.quantization import Quantization
from finetune_trainer import model_config
from finetune_trainer.plan_command.command import plan, read_options
from finetune_trainer.planning.memory import CUDA_CONTEXT, GIB
from finetune_trainer.planning.profiles import PROFILES, Framework, LossKernel

FILE = Path(__file__).with_name("published_peaks.csv")
FITTED_ON = "fms-acceleration"
"""Whose figures the constants of the working set and the scores were checked against; they are the cleanest. All others
are only tested with."""


@dataclass(frozen=True)
class PublishedPeak:
    """One row, and what was planned for it."""

    framework: Framework
    name: str
    source: str
    usual_loss: bool
    """Whether the framework takes the loss so by itself."""
    memory: MemoryPlan
    is_allocated: bool
    peak: float
    """Bytes."""

    @property
    def measured_by(self) -> str:
        return FITTED_ON if FITTED_ON in self.source else self.framework

    @property
    def predicted(self) -> int:
        """What the plan says of the same figure that was measured."""
        return self.memory.peak_bytes - (self.memory.parts.context if self.is_allocated else 0)

    @property
    def error(self) -> float:
        return self.predicted / self.peak - 1

    @property
    def on_the_device(self) -> float:
        """At least so much of the GPU was in use."""
        return self.peak + (CUDA_CONTEXT if self.is_allocated else 0)


def published_peaks(like: Framework | None = None) -> list[PublishedPeak]:
    """Each planned like the framework that it was measured with, or all like one."""
    with FILE.open() as file, TemporaryDirectory() as folder, without_transformers():
        return [_peak(row, Path(folder), like) for row in csv.DictReader(file)]


def without_transformers() -> AbstractContextManager[object]:
    """As where plans are made by hand. With transformers, a model that is none of theirs is refused: the first Qwen."""
    return patch.object(model_config, "causal_model_types", return_value=frozenset())


def _peak(row: Mapping[str, str], folder: Path, like: Framework | None) -> PublishedPeak:
    framework, loss = Framework(row["framework"]), LossKernel(row["loss"])
    usual = PROFILES[framework].habits(Quantization(row["quantization"])).loss is loss
    return PublishedPeak(
        framework=framework,
        name=f"{framework} {row['model']} {row['quantization']}, {row['batch']} x {row['length']}, {loss}",
        source=row["source"],
        usual_loss=usual,
        memory=_planned(row, folder, ("--like", like or framework, *(() if usual else ("--loss-kernel", loss)))),
        is_allocated=row["measured"] == "allocated",
        peak=float(row["peak_gib"]) * GIB,
    )


def _planned(row: Mapping[str, str], folder: Path, options: tuple[str, ...]) -> MemoryPlan:
    """As a person would do it by hand: a manifest, a config.json, one command."""
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "config.json").write_text(json.dumps(_config(row)))
    manifest = folder / "job.yaml"
    manifest.write_text(json.dumps(_job(row)))  # JSON is YAML
    given = ("-f", str(manifest), "--models", str(folder), *options)
    memory = plan(read_options(given)).decision.memory
    assert memory is not None
    return memory


def _job(row: Mapping[str, str]) -> dict[str, Any]:
    quantization = row["quantization"]
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "published"},
        "spec": {
            "baseModel": {"persistentVolumeClaim": {"claimName": "models", "path": "model"}},
            "dataset": {"persistentVolumeClaim": {"claimName": "datasets", "path": "rows.jsonl"}},
            "method": "lora" if quantization == Quantization.NONE else "qlora",
            "quantization": quantization,
            "lora": {
                "rank": int(row["rank"]),
                "dropout": "0.05" if row["dropout"] == "1" else "0",
                "targetModules": row["modules"].split(),
            },
            "training": {
                "sequenceLength": int(row["length"]),
                "effectiveBatchSize": int(row["batch"]),
                "microBatchSize": int(row["batch"]),
                "activationCheckpointing": row["checkpointing"] == "1",
            },
            "resources": {"gpus": 1},
        },
    }


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
