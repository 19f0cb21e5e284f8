"""What a dataset is recognised by: what its examples say, and how the pipeline made the two splits of them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from finetune_api.conditions import Reason
from finetune_api.orders import Location, PrepareTrainingOrder
from finetune_trainer.dataset.splitting import Split
from finetune_trainer.digests import document_digest
from finetune_trainer.failures import UserError
from finetune_trainer.locations import resolve_file


def dataset_digest(parts: Split, order: PrepareTrainingOrder) -> str:
    """sha256 over the canonical examples of both splits and the settings of the pipeline. Whitespace and the order of
    keys in the source change nothing. Limits at their default are left out, so that one which is added later renames no
    dataset."""
    return document_digest(
        {
            "examples": parts.digest,
            "validationFraction": str(Decimal(order.validation_fraction).normalize()),
            "seed": order.training.seed,
            "quality": order.quality.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            **({} if order.decisions is None else {"decisions": decisions_digest(order.decisions)}),
        }
    )


def decisions_digest(location: Location) -> str:
    """sha256 over a file of decisions, whatever its whitespace; UserError where a line is not JSON."""
    path = resolve_file(location, Reason.DATASET_INVALID)
    return document_digest([_document(line, number, location) for number, line in _lines(path)])


def _lines(path: Path) -> list[tuple[int, bytes]]:
    return [(number, line) for number, line in enumerate(path.read_bytes().splitlines(), start=1) if line.strip()]


def _document(line: bytes, number: int, location: Location) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        message = f"{location.manifest_field}: line {number} of '{location.path}' is not JSON: {error}"
        raise UserError(Reason.DATASET_INVALID, message) from error
