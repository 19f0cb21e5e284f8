"""What lies beside the predictions: how they came about, for whoever compares them or wants to make them again."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from finetune_api.quantization import Precision
from finetune_trainer.evaluation.content import EvaluationContent
from finetune_trainer.suites.model import Suite

RECORD_FILE = "evaluation.json"
PREDICTIONS_FILE = "predictions.jsonl"


@dataclass(frozen=True)
class InEffect:
    """What only the pod that computes knows."""

    device: str
    """`cpu`, or the GPU's model."""
    precision: Precision
    attention: str
    """The attention's kernel, as transformers names it."""


class EvaluationRecord(BaseModel):
    """How the predictions of one evaluation came about."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    digest: str
    content: EvaluationContent
    suite_name: str
    suite_version: str
    precision: Precision
    device: str
    """`cpu`, or the GPU's model."""
    attention: str | None = None
    """The attention's kernel, as transformers names it."""
    window: int
    """Tokens of the windows in which raw text was read; they overlap by half."""
    shots: int = 0
    """Worked examples before each question."""
    versions: dict[str, str]

    def write(self, folder: Path) -> None:
        text = self.model_dump_json(by_alias=True, indent=2)
        (folder / RECORD_FILE).write_text(text + "\n")


def read_record(folder: Path) -> EvaluationRecord:
    """Raises ValueError where the record is damaged."""
    return EvaluationRecord.model_validate_json((folder / RECORD_FILE).read_text())


def record_of(content: EvaluationContent, suite: Suite, effect: InEffect, window: int, shots: int) -> EvaluationRecord:
    return EvaluationRecord(
        digest=content.digest,
        content=content,
        suite_name=suite.name,
        suite_version=suite.version,
        precision=effect.precision,
        device=effect.device,
        attention=effect.attention,
        window=window,
        shots=shots,
        versions={"python": platform.python_version()} | content.versions,
    )
