"""The figures that a question's text gives, and what can be worked out from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import islice, permutations

from finetune_trainer.scoring import numbers
from finetune_trainer.scoring.numbers import Number

_MOST_FIGURES = 24
"""Of longer texts only the first figures are combined: pairs grow with the square."""
_SAME = Decimal("0.006")
"""Relative: figures that differ by less are one, rounded in two ways."""
_OTHER_MEASURE = re.compile(
    r"\b(?:adjusted|non-gaap|core|underlying|dividend\w*|payout|clos\w+|trad\w+|price\w*|target|forecast\w*|consensus"
    r"|expect\w*|guidance|outlook|tax|staff|book value)\b[^.;,]*$",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True)
class Source:
    """What stands behind the instruction, which is parted from it by an empty line."""

    text: str

    @classmethod
    def of(cls, question: str) -> Source:
        """An example of the answer's form in the instruction is no figure of the source."""
        instruction, separator, text = question.partition("\n\n")
        return cls(numbers.plain(text if separator else instruction))

    @cached_property
    def figures(self) -> tuple[Number, ...]:
        """All but years."""
        found = (each for each in numbers.find_numbers(self.text) if not self._is_year(each))
        return tuple(islice(found, _MOST_FIGURES))

    def states(self, value: Decimal) -> bool:
        """Whether the figure, whatever its sign, stands in the text."""
        return any(is_near(abs(value), abs(each.value)) for each in self.figures)

    def states_beside(self, expected: Decimal, value: Decimal) -> bool:
        """Whether the figure stands there as another one than the expected one, which it may be as near to."""
        return any(self._given_beside(expected, value))

    def states_for_another_period(self, expected: Decimal, value: Decimal) -> bool:
        """Whether it stands there so, as a plain figure that is not said to be something else, such as a dividend."""
        return any(
            not each.is_percent and not each.is_scaled and not self._is_other_measure(each)
            for each in self._given_beside(expected, value)
        )

    def changes(self) -> Iterator[tuple[frozenset[int], Decimal]]:
        """Of every two figures, by their places: the change from one to the other in percent."""
        amounts = [(each.start, abs(each.value)) for each in self.figures if not each.is_percent and each.value]
        for (place, before), (other, after) in permutations(amounts, 2):
            yield frozenset((place, other)), 100 * (after - before) / before

    def results(self) -> Iterator[Decimal]:
        """What may come out when two figures are combined in a way that is not the right one."""
        for one, other in permutations([abs(each.value) for each in self.figures if each.value], 2):
            yield one / other
            yield 100 * one / other
            yield abs(one - other)
            yield 100 * abs(one - other) / one

    def _given_beside(self, expected: Decimal, value: Decimal) -> Iterator[Number]:
        for each in self.figures:
            is_expected = is_near(abs(expected), abs(each.value)) and abs(each.value) != abs(value)
            if is_near(abs(value), abs(each.value)) and not is_expected:
                yield each

    def _is_other_measure(self, number: Number) -> bool:
        return _OTHER_MEASURE.search(numbers.before(self.text, number.start)) is not None

    def _is_year(self, number: Number) -> bool:
        return _YEAR.fullmatch(self.text, number.start, number.end) is not None


def is_near(one: Decimal, other: Decimal) -> bool:
    """Whether two figures are the same but for rounding."""
    return abs(one - other) <= _SAME * max(abs(one), abs(other))
