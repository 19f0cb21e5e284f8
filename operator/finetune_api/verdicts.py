"""The words in which a comparison ends."""

from enum import StrEnum


class Verdict(StrEnum):
    """What the evidence allows to be said of a candidate against its baseline."""

    IMPROVED = "Improved"
    REGRESSED = "Regressed"
    NO_DIFFERENCE = "NoDifference"
    INCONCLUSIVE = "Inconclusive"


class VerdictReason(StrEnum):
    """Why a verdict is the one it is."""

    INTERVAL_ABOVE_ZERO = "IntervalAboveZero"
    INTERVAL_BELOW_ZERO = "IntervalBelowZero"
    INTERVAL_WITHIN_MARGIN = "IntervalWithinMargin"
    INTERVAL_TOO_WIDE = "IntervalTooWide"
    NOT_SIGNIFICANT_AFTER_HOLM = "NotSignificantAfterHolm"
    IDENTICAL = "Identical"
    INSUFFICIENT_DATA = "InsufficientData"
    TASK_REGRESSED = "TaskRegressed"
