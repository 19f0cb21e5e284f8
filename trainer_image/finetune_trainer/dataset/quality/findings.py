"""What was found in an example: one shape for whatever looks at a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What is the matter with an example."""

    EXACT_DUPLICATE = "ExactDuplicate"
    NEAR_DUPLICATE = "NearDuplicate"
    CONTRADICTION = "Contradiction"
    LEAKED_VALIDATION = "LeakedValidation"
    LEAKED_SUITE = "LeakedSuite"
    IRRELEVANT = "Irrelevant"
    INCONSISTENT = "Inconsistent"
    PERSONAL_DATA = "PersonalData"
    LANGUAGE = "Language"
    EMPTY_TARGET = "EmptyTarget"


COPIES = frozenset({FindingKind.EXACT_DUPLICATE, FindingKind.NEAR_DUPLICATE})
LEAKS = frozenset({FindingKind.LEAKED_VALIDATION, FindingKind.LEAKED_SUITE})


@dataclass(frozen=True)
class Finding:
    """Something about one example that a person may want to look at."""

    kind: FindingKind
    line: int
    detail: str
    severity: float
    """0 to 1; higher is worse."""
    peer: int | None = None
    """Line of the other example that this one is seen against, where there is one."""
