"""Whether the figures of an answer follow from the text that it is about.

A figure follows when it stands there, or is a difference, sum, mean, ratio, percent change or share of percent of two
figures that stand there, rounded. What is doubtful is let pass: a false alarm costs a person's time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from finetune_trainer.dataset.quality.findings import Finding, FindingKind
from finetune_trainer.dataset.quality.passages import Text
from finetune_trainer.scoring.numbers import before, find_numbers

MOST_FIGURES = 25
"""Figures of a text from which on nearly every figure follows from two of them by chance."""
_THOUSANDS = tuple(10.0 ** (3 * power) for power in range(-3, 4))
_SHORT_ANSWER = 8
"""Words up to which every figure of an answer is part of the answer."""

_FALL = re.compile(
    r"\b(?:down|fell|fall|fallen|decreas\w+|declin\w+|drop\w*|lower|shrank|shrunk|reduc\w+|slid|lost)\b[^.]{0,30}$",
    re.I,
)
_RISE = re.compile(r"\b(?:up|rose|rise|risen|increas\w+|gr[eo]w\w*|higher|gain\w*|jump\w*|climb\w*)\b[^.]{0,30}$", re.I)
_LOSS = re.compile(
    r"loss|lost|losing|deficit|negative|minus|red ink|\bin the red\b|shortfall|outflow|down|fell|fall|decreas|declin"
    r"|drop|lower|less|unprofit|burn|write|impair|owe|below|behind|worse|slump|sank|sink|shr[iau]nk|slid|cut"
    r"|reduc|contract"
    r"|[-−–(]\s?[$€£]?\s?\d|dip|tumbl|plung|slip|weak|compress|narrow|under",
    re.I,
)
_ASKED_LOSS = re.compile(r"\bloss[^.?!]*\?", re.I)
"""'How large was the loss?': its size is asked for, which has no sign."""
_ABOUT_LOSSES = re.compile(r"\b(?:loss(?:es)?|deficits?|shortfalls?|costs?|expenses?|charges?|debts?)\b", re.I)
"""What is worse when it rises: an answer may say so the other way round."""
_SIGNED = re.compile(r"\beps\b|earnings per share|net income|profit per share|net result|net earnings", re.I)
_IN_THOUSANDS = re.compile(
    r"\bin (?:us ?\$ ?|[$€£] ?|dollars? |euros? )?(?:thousand|million|billion|000)|[$€£] ?(?:000|mn?|bn?|k)\b|'000",
    re.I,
)
"""A table's heading, or a question, that gives all figures another scale."""
_CURRENCY = re.compile(r"[$€£]")


@dataclass(frozen=True)
class Figure:
    """A number with what is said of it."""

    value: float
    step: float
    """What its last digit is worth."""
    is_percent: bool
    is_scaled: bool
    is_money: bool
    has_sign: bool
    place: int
    written: str

    def is_near(self, value: float) -> bool:
        """Rounded or cut at its last digit."""
        return abs(self.value - value) <= self.step * 1.0001 + 1e-9 * abs(value)

    @property
    def size(self) -> Figure:
        return self if self.value >= 0 else replace(self, value=-self.value)


def check_consistency(text: Text) -> Finding | None:
    """The worst of what an answer says that its text does not."""
    source = figures(text.source)
    if not source or len(source) > MOST_FIGURES:
        return None
    known = list(source)
    for figure in figures(text.answer):
        if _is_said_in_passing(figure, text.answer):
            continue
        said = _objection(figure, known, text)
        if said is not None:
            return Finding(FindingKind.INCONSISTENT, text.line, said[1], said[0])
        known.append(figure)
    return None


def figures(text: str) -> tuple[Figure, ...]:
    """All numbers of a text."""
    return tuple(_figures(text))


def _figures(text: str) -> Iterator[Figure]:
    for number in find_numbers(text):
        written = text[number.start : number.end]
        value = float(number.value)
        digits = re.sub(r"[^\d.]", "", written).rstrip(".")
        size = float(digits) if digits and digits.count(".") < 2 else 0.0
        decimals = len(digits.partition(".")[2])
        scale = abs(value) / size if size else 1.0
        yield Figure(
            value=value,
            step=10.0**-decimals * scale,
            is_percent=number.is_percent,
            is_scaled=number.is_scaled,
            is_money=_CURRENCY.search(written) is not None,
            has_sign=number.has_sign,
            place=number.start,
            written=written.strip(),
        )


def _is_said_in_passing(figure: Figure, answer: str) -> bool:
    """Years, and in a longer answer small counts: 'over the next 3 years', '1. Revenue', 'a full 100'."""
    if figure.is_percent or figure.is_money or figure.is_scaled or figure.step < 1:
        return False
    if 1900 <= figure.value <= 2100:
        return True
    return len(answer.split()) > _SHORT_ANSWER and (figure.value <= 12 or figure.value == 100)


def _objection(figure: Figure, known: Sequence[Figure], text: Text) -> tuple[float, str] | None:
    in_thousands = _IN_THOUSANDS.search(text.whole) is not None
    stated = [other for other in known if _says_the_same(figure, other, in_thousands)]
    if stated and _is_told_the_other_way(figure, stated, text):
        return 0.9, f"'{figure.written}' has the wrong direction: the text tells it the other way"
    if stated or _follows(figure, known):
        return _wrong_sign(figure, stated, text)
    size = figure.size
    changes = [value for value in _changes(known) if size.is_near(abs(value))] if figure.is_percent else []
    if not changes:
        return _why_not(figure, known)
    if _turned_round(figure, changes, text.answer):
        return 0.9, f"'{figure.written}' has the wrong direction: the figures of the text change the other way"
    return _wrong_sign(figure, stated, text)


def _follows(figure: Figure, known: Sequence[Figure]) -> bool:
    size = figure.size
    return any(size.is_near(abs(value)) for value in _derived(known, percent=figure.is_percent))


def _says_the_same(figure: Figure, other: Figure, in_thousands: bool) -> bool:
    if figure.is_percent and other.is_money:
        return False
    if figure.is_money and other.is_percent:
        return False
    scales = _THOUSANDS if figure.is_scaled != other.is_scaled or in_thousands else (1.0,)
    return any(_is_near(figure, other, scale) for scale in scales)


def _is_near(figure: Figure, other: Figure, scale: float) -> bool:
    """Either may be the rounded one."""
    value = abs(other.value) * scale
    return figure.size.is_near(value) or other.size.is_near(abs(figure.value) / scale)


def _derived(known: Sequence[Figure], *, percent: bool) -> Iterator[float]:
    """What two figures, or all together, come to. A share of 0.25 is 25%."""
    values = [abs(figure.value) for figure in known]
    if percent:
        yield from (100 * value for value, figure in zip(values, known, strict=True) if not figure.is_money)
    yield from (sum(values), sum(values) / len(values))
    shares = [figure.is_percent for figure in known]
    for (first, one), (second, other) in combinations(zip(values, shares, strict=True), 2):
        yield from (first - second, first + second, (first + second) / 2)
        yield first * second / 100
        if not (one or other):
            yield first * second
        yield from _ratios(first, second, percent)


def _ratios(first: float, second: float, percent: bool) -> Iterator[float]:
    for upper, lower in ((first, second), (second, first)):
        if lower:
            yield upper / lower * 100 if percent else upper / lower
            if not percent:
                yield from (upper / lower * scale for scale in _THOUSANDS if scale != 1)


def _changes(known: Sequence[Figure]) -> Iterator[float]:
    """Percent changes from each figure to each other one."""
    for earlier in known:
        for later in known:
            if earlier is not later and earlier.value:
                yield 100 * (later.value - earlier.value) / abs(earlier.value)


def _turned_round(figure: Figure, changes: Sequence[float], answer: str) -> bool:
    direction = _direction(figure, answer)
    return direction != 0 and not any(direction * change >= 0 for change in changes)


def _is_told_the_other_way(figure: Figure, stated: Sequence[Figure], text: Text) -> bool:
    """A change in percent that the text itself calls a rise, and the answer a fall, or the other way round."""
    if not figure.is_percent or _ABOUT_LOSSES.search(text.whole):
        return False
    answered = _direction(figure, text.answer)
    return answered != 0 and all(_direction(other, text.source) == -answered for other in stated)


def _direction(figure: Figure, answer: str) -> int:
    if figure.has_sign:
        return 1 if figure.value > 0 else -1
    leading = before(answer, figure.place)
    if _FALL.search(leading):
        return -1
    return 1 if _RISE.search(leading) else 0


def _wrong_sign(figure: Figure, stated: Sequence[Figure], text: Text) -> tuple[float, str] | None:
    if figure.value < 0 and not _LOSS.search(text.source):
        return 0.9, f"'{figure.written}' is negative, but the text tells of no loss"
    told_as_loss = bool(stated) and all(other.value < 0 for other in stated)
    asked_with_sign = _SIGNED.search(f"{text.instruction} {text.answer}") and not _ASKED_LOSS.search(text.source)
    if figure.value > 0 and told_as_loss and asked_with_sign and not _LOSS.search(text.answer):
        return 0.9, f"'{figure.written}' is positive, but the text tells it as a loss"
    return None


def _why_not(figure: Figure, known: Sequence[Figure]) -> tuple[float, str]:
    sizes = [other for other in known if other.step and _same_digits(figure, other)]
    of_its_unit = [other for other in sizes if other.is_percent == figure.is_percent]
    if of_its_unit:
        return 0.8, f"'{figure.written}' has another scale than in the text ({of_its_unit[0].written})"
    if sizes:
        return 0.7, f"'{figure.written}' has another unit than in the text ({sizes[0].written})"
    return 0.8, f"'{figure.written}' neither stands in the text nor follows from its figures"


def _same_digits(figure: Figure, other: Figure) -> bool:
    return bool(other.value) and _digits(figure) == _digits(other)


def _digits(figure: Figure) -> str:
    return re.sub(r"[^\d]", "", figure.written).strip("0")
