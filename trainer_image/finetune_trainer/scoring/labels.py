"""Labels as words: 'not positive' never counts as positive, and two different labels are no answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from finetune_trainer.scoring import denials, numbers


def answer(text: str, labels: Sequence[str]) -> str | None:
    """The one label that the text affirms; None when there is none, or several, or it is also denied."""
    affirmed, denied = mentions(text, labels)
    return affirmed.pop() if len(affirmed) == 1 and not affirmed & denied else None


def mentions(text: str, labels: Sequence[str]) -> tuple[set[str], set[str]]:
    """The labels that the text affirms and those it denies, each spelled as in `labels`."""
    text = _spaced(text)
    spelled = {label.casefold(): label for label in labels}
    affirmed: set[str] = set()
    denied: set[str] = set()
    for match in _pattern(labels).finditer(text):
        (denied if denials.is_denied(text, match.start()) else affirmed).add(spelled[match[0].casefold()])
    return affirmed, denied


def _pattern(labels: Sequence[str]) -> re.Pattern[str]:
    longest_first = sorted(labels, key=len, reverse=True)
    words = "|".join(re.escape(_spaced(label)) for label in longest_first)
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE)


def _spaced(text: str) -> str:
    """One space between words, straight apostrophes, plain dashes; no underscores that only emphasise."""
    return re.sub(r"(?:\s|(?<!\w)_+|_+(?!\w))+", " ", numbers.plain(text))
