"""Which of the numbers in an answer is the answer, and whether another one contradicts it.

Two rules: the value after the suite's marker counts, else the last number; several conflicting ones are no answer.
What conflicts depends on where the answer stands:

- After a marker stands the result and nothing else, so every other number of its kind on that line conflicts.
- Without a marker the steps of a calculation may lead to the last number, so only a number that is put beside the last
  one conflicts: joined to it ('1.20 1.30', '1.20 and 1.30') or offered in its place ('1.20, or maybe 1.30').

Neither result nor conflict are numbers that the answer denies ('not 1.23'), that it only compares with ('up from 1.10',
'earlier it was 1.10') and the dates of periods ('for fiscal 2023', 'ended June 30, 2023').
"""

from __future__ import annotations

import re
from itertools import islice, pairwise

from finetune_trainer.scoring import denials, numbers
from finetune_trainer.scoring.numbers import Number

_MOST_NUMBERS = 1000
"""Whatever holds more of them states no result; each is looked at with its surroundings, which takes time."""

_COMPARED_BEFORE = re.compile(
    r"\b(?:from|versus|vs\.?|against|compared (?:with|to)"
    r"|(?:earlier|previously|formerly|(?:the )?(?:prior|previous|last) (?:year|quarter|period)(?:'s)?),?)"
    r"(?: (?:a|an|the|net|profit|loss|of|per|share|it|eps|figure|had|been|was|at|in|prior|previous|last|year|quarter"
    r"|period|\w+'s)\b)*:? ?$",
    re.IGNORECASE,
)
_COMPARED_AFTER = re.compile(
    r",? (?:\(?(?:per share )?(?:(?:a|one) (?:year|quarter) (?:ago|earlier|before)|previously|earlier"
    r"|(?:in|for) the (?:prior|previous) (?:year|quarter|period)))\b",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(r" (?:is|was|would be)(?:n't| not| wrong| incorrect| false)\b", re.IGNORECASE)
_YEAR = re.compile(r"(?:19|20)\d\d")
_MONTH = (
    r"\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_PERIOD = re.compile(
    rf"(?:\b(?:in|for|fiscal|years?|fy|during|since|by|ended|(?:quarter|end) of|quarter|q[1-4]|[1-4]q|h[12])"
    rf"|{_MONTH}(?: \d\d?,?)?) ?$",
    re.IGNORECASE,
)
_DAY = re.compile(r"[12]?\d|3[01]")
_AFTER_ITS_MONTH = re.compile(rf"{_MONTH} ?$", re.IGNORECASE)
_BEFORE_ITS_MONTH = re.compile(rf" {_MONTH},? (?:19|20)\d\d\b", re.IGNORECASE)

_JOINED = re.compile(
    r"(?:[\s,;.:()\[\]/|*~-]|\b(?:or|and|to|also|about|around|roughly|approximately)\b)*", re.IGNORECASE
)
_OFFERED_INSTEAD = re.compile(
    r"\b(?:or(?! so\b)|maybe|perhaps|possibly|could|might|alternatively|either|otherwise)\b", re.IGNORECASE
)


def answer(text: str, marker: str | None = None) -> Number | None:
    """The number that the answer gives; None when unreadable or ambiguous."""
    text = numbers.plain(text)
    parts = re.split(re.escape(numbers.plain(marker)), text, flags=re.IGNORECASE)[1:] if marker else []
    if not parts:
        return last(text)
    found = [_only_in_line(part) for part in parts]
    agreed = {(number.value, number.is_percent) for number in found if number is not None}
    return found[0] if None not in found and len(agreed) == 1 else None


def last(text: str) -> Number | None:
    """The last number that the text claims, unless another is put beside it."""
    text = numbers.plain(text)
    claimed = claims(text)
    if not claimed:
        return None
    result = claimed[-1]
    rival = next((number for number in reversed(claimed) if number.value != result.value), None)
    if rival is None:
        return result
    between = text[rival.end : result.start]
    joined = _is_same_kind(rival, result) and _JOINED.fullmatch(between) is not None
    return None if joined or _OFFERED_INSTEAD.search(between) else result


def claims(text: str) -> list[Number]:
    """The numbers that the text offers as its own, from left to right; none of a text that is full of numbers."""
    text = numbers.plain(text)
    found = list(islice(numbers.find_numbers(text), _MOST_NUMBERS + 1))
    if len(found) > _MOST_NUMBERS:
        return []
    offered = [number for number in found if not _is_set_aside(text, number)]
    return [number for number in offered if not _is_date(text, number)] or offered


def _only_in_line(text: str) -> Number | None:
    """The first claim of the marker's line, where no other one contradicts it."""
    line = text.lstrip().partition("\n")[0]
    claimed = claims(line)
    if not claimed:
        return None
    result = claimed[0]
    for left, right in pairwise(claimed):
        is_instead = _OFFERED_INSTEAD.search(line, left.end, right.start) is not None
        if right.value != result.value and (is_instead or _is_same_kind(right, result)):
            return None
    return result


def _is_same_kind(one: Number, other: Number) -> bool:
    """Millions beside a plain amount, or a percentage, tell of something else."""
    return (one.is_percent, one.is_scaled) == (other.is_percent, other.is_scaled)


def _is_set_aside(text: str, number: Number) -> bool:
    """Denied, or only there to compare with."""
    before, after = numbers.before(text, number.start), numbers.after(text, number.end)
    return (
        denials.is_denied(text, number.start)
        or _COMPARED_BEFORE.search(before) is not None
        or _DENIED_AFTER.match(after) is not None
        or _COMPARED_AFTER.match(after) is not None
    )


def _is_date(text: str, number: Number) -> bool:
    """The year of a period, or the day of a month."""
    before, after = numbers.before(text, number.start), numbers.after(text, number.end)
    if _YEAR.fullmatch(text, number.start, number.end):
        return _PERIOD.search(before) is not None
    if not _DAY.fullmatch(text, number.start, number.end):
        return False
    return _AFTER_ITS_MONTH.search(before) is not None or _BEFORE_ITS_MONTH.match(after) is not None
