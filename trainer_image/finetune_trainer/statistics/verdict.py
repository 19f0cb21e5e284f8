"""The verdict: a chain of rules, the first that applies speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer import figures
from finetune_trainer.statistics import sign_flip
from finetune_trainer.statistics.inference import Inference
from finetune_trainer.statistics.least_groups import MINIMUM_CHANGED_GROUPS, MINIMUM_EFFECTIVE_GROUPS


@dataclass(frozen=True)
class Evidence:
    """What the rules look at. `p_holm` is None for a test outside Holm's family."""

    identical: bool
    inference: Inference
    margin: float
    p_holm: float | None = None
    regressed_tasks: tuple[str, ...] = ()

    @property
    def is_significant(self) -> bool:
        """Whether a difference from zero survives the other tests that were made."""
        return (self.inference.p if self.p_holm is None else self.p_holm) < sign_flip.ALPHA

    @property
    def interval(self) -> str:
        """The interval as people read it."""
        return figures.interval(self.inference.low, self.inference.high)


@dataclass(frozen=True)
class Finding:
    """A verdict with its reason, and the same in words."""

    verdict: Verdict
    reason: VerdictReason
    message: str


Rule = Callable[[Evidence], Finding | None]


def judge(evidence: Evidence) -> Finding:
    """The verdict that the evidence allows."""
    findings = (rule(evidence) for rule in _RULES)
    return next(finding for finding in findings if finding is not None)


def answers_are_identical(evidence: Evidence) -> Finding | None:
    if not evidence.identical:
        return None
    return Finding(Verdict.NO_DIFFERENCE, VerdictReason.IDENTICAL, "both models gave the same answers, byte for byte")


def data_is_insufficient(evidence: Evidence) -> Finding | None:
    found = evidence.inference
    if found.is_sufficient:
        return None
    message = (
        f"{found.effective_groups:.1f} effective groups and {found.changed_groups} groups with a changed score; "
        f"at least {MINIMUM_EFFECTIVE_GROUPS} and {MINIMUM_CHANGED_GROUPS} are needed to tell"
    )
    return Finding(Verdict.INCONCLUSIVE, VerdictReason.INSUFFICIENT_DATA, message)


def a_task_regressed(evidence: Evidence) -> Finding | None:
    if evidence.inference.low <= 0 or not evidence.regressed_tasks:
        return None
    message = f"better overall, interval {evidence.interval}, but {', '.join(evidence.regressed_tasks)} got worse"
    return Finding(Verdict.INCONCLUSIVE, VerdictReason.TASK_REGRESSED, message)


def interval_is_above_zero(evidence: Evidence) -> Finding | None:
    if evidence.inference.low <= 0 or not evidence.is_significant:
        return None
    message = f"the whole interval {evidence.interval} lies above zero"
    return Finding(Verdict.IMPROVED, VerdictReason.INTERVAL_ABOVE_ZERO, message)


def interval_is_below_zero(evidence: Evidence) -> Finding | None:
    if evidence.inference.high >= 0 or not evidence.is_significant:
        return None
    message = f"the whole interval {evidence.interval} lies below zero"
    return Finding(Verdict.REGRESSED, VerdictReason.INTERVAL_BELOW_ZERO, message)


def interval_is_within_the_margin(evidence: Evidence) -> Finding | None:
    if evidence.inference.low <= -evidence.margin or evidence.inference.high >= evidence.margin:
        return None
    message = f"the whole interval {evidence.interval} lies within the margin of {evidence.margin:g}"
    return Finding(Verdict.NO_DIFFERENCE, VerdictReason.INTERVAL_WITHIN_MARGIN, message)


def significance_is_lost_among_the_tests(evidence: Evidence) -> Finding | None:
    if evidence.inference.low <= 0 <= evidence.inference.high:
        return None
    message = (
        f"the interval {evidence.interval} leaves zero out, but with all that was tested p is {evidence.p_holm:.3f}"
    )
    return Finding(Verdict.INCONCLUSIVE, VerdictReason.NOT_SIGNIFICANT_AFTER_HOLM, message)


def interval_is_too_wide(evidence: Evidence) -> Finding:
    message = f"the interval {evidence.interval} holds zero and differences beyond the margin of {evidence.margin:g}"
    return Finding(Verdict.INCONCLUSIVE, VerdictReason.INTERVAL_TOO_WIDE, message)


_RULES: tuple[Rule, ...] = (
    answers_are_identical,
    data_is_insufficient,
    a_task_regressed,
    interval_is_above_zero,
    interval_is_below_zero,
    interval_is_within_the_margin,
    significance_is_lost_among_the_tests,
    interval_is_too_wide,
)
