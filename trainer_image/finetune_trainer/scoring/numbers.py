"""Numbers as people write them in answers: $1,234.5, (0.45), 12.5%, 1.2 billion, minus 3."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

_MAX_DIGITS = 30
"""No figure of this field is longer; Decimal keeps 28 digits, and a run of digits is no answer."""

# One character for one character, so that positions stay what they were.
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe58\ufe63\uff0d"
_SPACES = "\u00a0\u2007\u2009\u202f\t"
_PLAIN = str.maketrans(dict.fromkeys(_DASHES, "-") | dict.fromkeys(_SPACES, " ") | {"\uff04": "$", "\u2019": "'"})

_SCALES: dict[str, Decimal] = {
    **dict.fromkeys(("k", "thousand", "thousands"), Decimal(10) ** 3),
    **dict.fromkeys(("m", "mn", "mm", "mil", "mill", "mln", "mio", "million", "millions"), Decimal(10) ** 6),
    **dict.fromkeys(("b", "bn", "bil", "bln", "billion", "billions"), Decimal(10) ** 9),
    **dict.fromkeys(("tn", "trillion", "trillions"), Decimal(10) ** 12),
    **dict.fromkeys(("hundred", "hundreds"), Decimal(100)),
    **dict.fromkeys(("lakh", "lakhs"), Decimal(10) ** 5),
    **dict.fromkeys(("crore", "crores"), Decimal(10) ** 7),
    **dict.fromkeys(("dozen", "dozens"), Decimal(12)),
    **dict.fromkeys(("cent", "cents", "\u00a2"), Decimal("0.01")),
}
_SCALE_WORDS = "|".join(sorted(_SCALES, key=len, reverse=True))
_PERCENT = r"%|percent(?:age[ ]points?)?\b|per[ ]cent\b"

# Possessive quantifiers and one fixed look-behind keep the search linear on any input. A digit that continues a word, a
# version, a date's decimal or an unusual grouping (FY2023, 1.2.3, 1,23) is no number rather than half of one.
_NUMBER = re.compile(
    rf"""
    (?:US\$|[$€£])?(?P<open>\()?(?<![\w.])(?<!\d,)
    (?P<sign>(?<![\w)])[-+])?
    (?:(?:US\$|[$€£])[ ]?)?(?P<inner_sign>[-+])?
    (?P<digits>(?:\d{{1,3}}(?:,\d{{3}})++(?!\d)|\d++)(?:\.\d++)?+|\.\d++)
    (?!,\d|\.\d)
    (?:[ ]?(?P<percent>{_PERCENT})
      |[ ]?(?P<scale>{_SCALE_WORDS})(?!\w)
      |(?!\w|-[A-Za-z]))
    (?P<close>\))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_UNIT_BEHIND = re.compile(
    rf"[ ]?(?P<percent>{_PERCENT})|(?:[ ](?!\w(?!\w)))?(?P<scale>{_SCALE_WORDS})(?!\w)", re.VERBOSE | re.IGNORECASE
)
"""Of a loss in parentheses, as statements print it: '($50.4) million', '(12.5)%'. A letter that stands apart, as in
'(1) M. Smith', is none."""
_LOSS_BEFORE = re.compile(
    r"\b(?:minus|negative|lost"
    r"|loss(?:es)?(?: per (?:\w+ ){0,2}share| a share)?(?: \((?:basic|diluted)\))?(?: of| was| is| to| at|:| =)?)"
    r"(?: about| around| approximately)? ?$",
    re.IGNORECASE,
)
_LOSS_AFTER = re.compile(r" (?:(?:per|a) share )?(?:net )?loss(?:es)?\b(?! of\b)", re.IGNORECASE)
_SECOND_SCALE = re.compile(
    r" ?\(?(?:in )?(?:mill?|mln|mio|bil|bln|basis points?|bps|hundreds?|lakhs?|crores?|dozens?"
    r"|thousands?|millions?|billions?|trillions?)\b",
    re.IGNORECASE,
)
"""A number that is read before it is scaled for the last time is not the one that is meant: '5 (in millions)'."""
_NEIGHBOURHOOD = 60
"""Characters looked at on either side of a number: the longest wording of a loss fits."""


@dataclass(frozen=True)
class Number:
    """A number read from text, scaled and signed."""

    value: Decimal
    is_percent: bool
    is_scaled: bool
    """Told in hundreds, thousands, millions and so on."""
    has_sign: bool
    start: int
    end: int


def plain(text: str) -> str:
    """The text with one kind of dash and one kind of space, position by position."""
    return text.translate(_PLAIN)


def find_numbers(text: str) -> Iterator[Number]:
    """Every number in the text, from left to right."""
    text = plain(text)
    for match in _NUMBER.finditer(text):
        if sum(map(str.isdigit, match["digits"])) <= _MAX_DIGITS:
            number = _read(text, match)
            if not _SECOND_SCALE.match(text, number.end):
                yield number


def before(text: str, position: int) -> str:
    """The words that lead to a position, as many as matter."""
    return text[max(0, position - _NEIGHBOURHOOD) : position]


def after(text: str, position: int) -> str:
    """The words that follow a position, as many as matter."""
    return text[position : position + _NEIGHBOURHOOD]


def _read(text: str, match: re.Match[str]) -> Number:
    in_parentheses = bool(match["open"] and match["close"])
    has_unit = bool(match["percent"] or match["scale"])
    unit = (_UNIT_BEHIND.match(text, match.end()) if in_parentheses and not has_unit else None) or match
    end = max(unit.end(), match.end())
    scale = _SCALES.get((unit["scale"] or "").lower(), Decimal(1))
    value = Decimal(match["digits"].replace(",", "")) * scale
    sign = match["sign"] or match["inner_sign"] or ""
    is_negative = sign == "-" or in_parentheses or _is_told_as_a_loss(text, match.start(), end)
    return Number(
        value=-value if is_negative else value,
        is_percent=unit["percent"] is not None,
        is_scaled=scale > 1,
        has_sign=is_negative or sign == "+",
        start=match.start(),
        end=end if in_parentheses or not match["close"] else match.end("close") - 1,
    )


def _is_told_as_a_loss(text: str, start: int, end: int) -> bool:
    told_before = _LOSS_BEFORE.search(before(text, start))
    return told_before is not None or _LOSS_AFTER.match(after(text, end)) is not None
