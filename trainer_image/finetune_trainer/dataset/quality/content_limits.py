"""Limits of spec.dataset.quality on the findings of single examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from finetune_api.conditions import Reason
from finetune_api.quality import DatasetQuality
from finetune_trainer.dataset.quality.findings import Finding, FindingKind
from finetune_trainer.failures import UserError

REVIEW_COPY = "dataset-review.jsonl"
"""review.jsonl of a dataset that was refused, in the run's folder."""
DECIDE_IN_A_FILE = f"decide about them in a file (spec.dataset.decisions); all are in {REVIEW_COPY} in the run's folder"
_LINES_NAMED = 5


@dataclass(frozen=True)
class Limit:
    """At most so many percent of the examples may have findings of a kind."""

    kind: FindingKind
    field: str
    told: str
    """The field's value, as the manifest has it."""
    most: Decimal
    fault: str
    remedy: str


def limits_of(quality: DatasetQuality) -> tuple[Limit, ...]:
    """Those that this module's checks are measured by."""
    relevant = Decimal(quality.min_relevant_percent)
    return (
        Limit(
            FindingKind.IRRELEVANT,
            "minRelevantPercent",
            quality.min_relevant_percent,
            100 - relevant,
            "not about finance",
            "take them out, lower the limit",
        ),
        Limit(
            FindingKind.INCONSISTENT,
            "maxInconsistentPercent",
            quality.max_inconsistent_percent,
            Decimal(quality.max_inconsistent_percent),
            "answered with figures, signs or units that their text does not give",
            "correct them, raise the limit",
        ),
        Limit(
            FindingKind.PERSONAL_DATA,
            "maxPersonalPercent",
            quality.max_personal_percent,
            Decimal(quality.max_personal_percent),
            "holding personal data",
            "take it out, raise the limit",
        ),
    )


def refuse_beyond(quality: DatasetQuality, findings: Sequence[Finding], examples: int) -> None:
    """UserError (DatasetInvalid) for the first limit that is passed."""
    for limit in limits_of(quality):
        found = sorted((each for each in findings if each.kind is limit.kind), key=lambda each: each.line)
        percent = Decimal(100 * len(found)) / max(1, examples)
        if percent > limit.most:
            raise _refusal(limit, found, percent, examples)


def _refusal(limit: Limit, found: Sequence[Finding], percent: Decimal, examples: int) -> UserError:
    lines = ", ".join(str(each.line) for each in found[:_LINES_NAMED])
    share = 100 - percent if limit.kind is FindingKind.IRRELEVANT else percent
    named = f"spec.dataset.quality.{limit.field}"
    return UserError(
        Reason.DATASET_INVALID,
        f"{named} is {limit.told}, but {share:.1f}% was found: {len(found)} of {examples} examples are {limit.fault}, "
        f"first lines {lines}. {limit.remedy.capitalize()}, or {DECIDE_IN_A_FILE}",
        errors=[f"line {each.line}: {each.detail}" for each in found],
    )
