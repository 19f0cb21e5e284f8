"""Refuses a dataset that has more of something than its spec allows."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from finetune_api.conditions import Reason
from finetune_trainer.dataset.quality.findings import Finding
from finetune_trainer.failures import UserError

_SHOWN = 3


def refuse_beyond(
    limit: str, found: Sequence[Finding], *, examples: int, field: str, what: str, remedy: str, examples_named: str
) -> None:
    """UserError (DatasetInvalid) where more than `limit` percent of the examples have findings."""
    if not examples or Decimal(100 * len(found)) <= Decimal(limit) * examples:
        return
    shown = "; ".join(f"line {finding.line}: {finding.detail}" for finding in found[:_SHOWN])
    raise UserError(
        Reason.DATASET_INVALID,
        f"spec.dataset.quality.{field}: {100 * len(found) / examples:.1f}% ({len(found)} of {examples}) of the "
        f"{examples_named} {what}; at most {limit}% may. First: {shown}. {remedy}",
        errors=[f"line {finding.line}: {finding.detail}" for finding in found],
    )
