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
_PLAIN = str.maketrans(dict.fromkeys(_DASHES, "-") | dict.fromkeys(_SPACES, " ") | {"\uff04": "$"})

_SCALES: dict[str, Decimal] = {
    **dict.fromkeys(("k", "thousand", "thousands"), Decimal(10) ** 3),
    **dict.fromkeys(("m", "mn", "mm", "million", "millions"), Decimal(10) ** 6),
    **dict.fromkeys(("b", "bn", "billion", "billions"), Decimal(10) ** 9),
    **dict.fromkeys(("tn", "trillion", "trillions"), Decimal(10) ** 12),
    **dict.fromkeys(("cent", "cents", "\u00a2"), Decimal("0.01")),
}

# Possessive quantifiers and one fixed look-behind keep the search linear on any input. A digit that continues a word, a
# version, a date's decimal or an unusual grouping (FY2023, 1.2.3, 1,23) is no number rather than half of one.
_NUMBER = re.compile(
    r"""
    (?:US\$|[$€£])?(?P<open>\()?(?<![\w.])(?<!\d,)
    (?P<sign>(?<![\w)])[-+])?
    (?:(?:US\$|[$€£])[ ]?)?(?P<inner_sign>[-+])?
    (?P<digits>(?:\d{1,3}(?:,\d{3})++(?!\d)|\d++)(?:\.\d++)?+|\.\d++)
    (?!,\d|\.\d)
    (?:[ ]?(?P<percent>%|percent(?:age[ ]points?)?\b|per[ ]cent\b)
      |[ ]?(?P<scale>thousands?|millions?|billions?|trillions?|bn|mn|mm|tn|cents?|[kmb]|¢)(?!\w)
      |(?!\w|-[A-Za-z]))
    (?P<close>\))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NEGATIVE_WORDS = re.compile(r"(?:\bminus|\bnegative|\bloss(?: of)?)[ ]?$", re.IGNORECASE)
_LONGEST_NEGATIVE_WORDS = len("negative ") + 1
_ALTERNATIVE = re.compile(r" *(?:or|and|to|vs\.?|versus|[/,;|-]) *(?:maybe|perhaps|possibly|else)? *", re.IGNORECASE)
_LONGEST_ALTERNATIVE = 24


@dataclass(frozen=True)
class Number:
    """A number read from text, scaled and signed."""

    value: Decimal
    is_percent: bool
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
            yield _read(text, match)


def answer(text: str, marker: str | None = None) -> Number | None:
    """The number that the answer gives: the one after the marker, else the last; None when unreadable or ambiguous."""
    text = plain(text)
    if marker is None:
        return last_number(text)
    parts = re.split(re.escape(plain(marker)), text, flags=re.IGNORECASE)[1:]
    if not parts:
        return last_number(text)
    found = [_first_in_line(part) for part in parts]
    agreed = {(number.value, number.is_percent) for number in found if number is not None}
    return found[0] if None not in found and len(agreed) == 1 else None


def last_number(text: str) -> Number | None:
    """The last number, unless the text offers another in its place ('1.20 or 1.30')."""
    text = plain(text)
    before, last = None, None
    for number in find_numbers(text):
        before, last = last, number
    return None if last is None or _are_alternatives(text, before, last) else last


def _first_in_line(text: str) -> Number | None:
    line = text.lstrip().partition("\n")[0]
    numbers = find_numbers(line)
    first = next(numbers, None)
    return None if first is None or _are_alternatives(line, first, next(numbers, None)) else first


def _are_alternatives(text: str, left: Number | None, right: Number | None) -> bool:
    if left is None or right is None or left.is_percent != right.is_percent or left.value == right.value:
        return False
    between = text[left.end : right.start]
    return len(between) <= _LONGEST_ALTERNATIVE and _ALTERNATIVE.fullmatch(between) is not None


def _read(text: str, match: re.Match[str]) -> Number:
    value = Decimal(match["digits"].replace(",", "")) * _SCALES.get((match["scale"] or "").lower(), Decimal(1))
    before = text[max(0, match.start() - _LONGEST_NEGATIVE_WORDS) : match.start()]
    sign = match["sign"] or match["inner_sign"] or ""
    in_parentheses = bool(match["open"] and match["close"])
    is_negative = sign == "-" or in_parentheses or _NEGATIVE_WORDS.search(before) is not None
    return Number(
        value=-value if is_negative else value,
        is_percent=match["percent"] is not None,
        has_sign=is_negative or sign == "+",
        start=match.start(),
        end=match.end() if in_parentheses or not match["close"] else match.end("close") - 1,
    )
