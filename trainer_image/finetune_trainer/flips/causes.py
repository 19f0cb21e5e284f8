"""Why a wrong answer is wrong: the first cause that applies, in the order of `ErrorCause`.

The rules see the question's text, the reference and the answer, and no model. A cause is a reading of the answer, not a
proof of how the model came to it; what fits no rule is `Unknown`, and so is a wrong label.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from finetune_api.comparison import ErrorCause
from finetune_trainer.flips.refusals import is_refusal
from finetune_trainer.flips.source import Source, is_near
from finetune_trainer.scoring import growth, labels, number_answers
from finetune_trainer.suites import model

_SCALES = tuple(Decimal(10) ** power for power in (-9, -6, -3, -2, -1, 1, 2, 3, 6, 9))
_NEAR_MISS = Decimal("0.3")
"""A calculation that is off by no more, relative to the right result, is taken for a slip and not for an invention."""

_NEAR_POINTS = Decimal(3)
"""The same for small changes, in percentage points."""


@dataclass(frozen=True)
class _Amount:
    """A figure that an answer gives in place of the right one. A change is in percent, with the sign of its way."""

    value: Decimal
    expected: Decimal
    tolerance: Decimal
    has_other_unit: bool
    is_change: bool

    @property
    def has_right_size(self) -> bool:
        return abs(abs(self.value) - abs(self.expected)) <= self.tolerance

    @property
    def has_other_scale(self) -> bool:
        return any(is_near(abs(self.value), abs(self.expected) * scale) for scale in _SCALES if self.expected)

    @property
    def is_near_miss(self) -> bool:
        slack = _NEAR_POINTS if self.is_change else Decimal(0)
        return abs(self.value - self.expected) <= max(slack, _NEAR_MISS * abs(self.expected))


def cause_of(question: str, reference: str, prediction: str, scorer: model.Scorer) -> ErrorCause:
    """Of an answer that the scorer found wrong, or not wholly right."""
    if is_refusal(prediction):
        return ErrorCause.REFUSAL
    match scorer:
        case model.NumberScorer():
            amount = _number(scorer, reference, prediction)
        case model.GrowthScorer():
            amount = _change(scorer, reference, prediction)
        case model.LabelScorer():
            is_readable = labels.answer(prediction, scorer.labels) is not None
            return ErrorCause.UNKNOWN if is_readable else ErrorCause.FORMAT
        case _:
            return ErrorCause.UNKNOWN if prediction.strip() else ErrorCause.FORMAT
    return ErrorCause.FORMAT if amount is None else _cause_of_amount(amount, Source.of(question))


def _number(scorer: model.NumberScorer, reference: str, prediction: str) -> _Amount | None:
    found, expected = number_answers.answer(prediction, scorer.marker), number_answers.last(reference)
    if found is None or expected is None:
        return None
    tolerance = max(scorer.absolute_tolerance, scorer.relative_tolerance * abs(expected.value))
    has_other_unit = (found.is_percent, found.is_scaled) != (expected.is_percent, expected.is_scaled)
    return _Amount(found.value, expected.value, tolerance, has_other_unit, is_change=False)


def _change(scorer: model.GrowthScorer, reference: str, prediction: str) -> _Amount | None:
    """None also where direction or size is missing."""
    found, expected = growth.answer(prediction), growth.answer(reference)
    if found is None or expected is None or found.percent is None or expected.percent is None:
        return None
    if found.direction is None:
        return None
    marked = [each for each in number_answers.claims(prediction) if each.is_scaled]
    return _Amount(found.percent, expected.percent, scorer.tolerance_points, bool(marked), is_change=True)


def _cause_of_amount(amount: _Amount, source: Source) -> ErrorCause:
    if amount.has_other_unit or amount.has_other_scale:
        return ErrorCause.UNIT_OR_SCALE
    if amount.has_right_size:
        return ErrorCause.WRONG_SIGN
    if _is_of_another_period(amount, source):
        return ErrorCause.WRONG_PERIOD
    if not amount.is_change and source.states_beside(amount.expected, amount.value):
        return ErrorCause.UNKNOWN
    is_calculated = amount.is_change or not source.states(amount.expected)
    if is_calculated and (amount.is_near_miss or any(is_near(abs(amount.value), each) for each in source.results())):
        return ErrorCause.ARITHMETIC
    return ErrorCause.HALLUCINATED


def _is_of_another_period(amount: _Amount, source: Source) -> bool:
    if not amount.is_change:
        return source.states_for_another_period(amount.expected, amount.value)
    changes = list(source.changes())
    asked = {pair for pair, change in changes if abs(change - amount.expected) <= amount.tolerance}
    return any(abs(change - amount.value) <= amount.tolerance for pair, change in changes if pair not in asked)
