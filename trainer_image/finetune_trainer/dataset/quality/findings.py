"""What a check has to say about an example."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What was found."""

    EXACT_DUPLICATE = "exact-duplicate"
    NEAR_DUPLICATE = "near-duplicate"
    CONTRADICTION = "contradiction"
    LEAKED_VALIDATION = "leaked-validation"
    LEAKED_SUITE = "leaked-suite"
    IRRELEVANT = "irrelevant"
    INCONSISTENT = "inconsistent"
    PERSONAL_DATA = "personal-data"
    LANGUAGE = "language"
    EMPTY_TARGET = "empty-target"


@dataclass(frozen=True)
class Finding:
    """One example, what was found, and how bad it is."""

    kind: FindingKind
    line: int
    detail: str
    severity: float
    """0 to 1; higher is worse."""
    peer: int | None = None
    """Line of the other example, where it takes two."""
