"""Answers that are words: which of them are the answer, and how they are made alike before they are compared."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from finetune_trainer.scoring import numbers

_MARKUP = re.compile(r"[*_`~#>]+")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
# A sign and a decimal point belong to a figure: without them -0.45 would be 45.
_PUNCTUATION = re.compile(r"(?<=\d)[,'](?=\d{3}\b)|(?!(?<!\w)-(?=\.?\d)|(?<=\d)\.(?=\d)|(?<!\w)\.(?=\d))[^\w\s%$€£¥]")


def answer(text: str, marker: str | None) -> str | None:
    """What stands after the marker, up to the end of its line; all of the text where the marker is not in it.

    None where nothing stands there, or different things after several markers.
    """
    text = numbers.plain(text)
    parts = re.split(re.escape(numbers.plain(marker)), text, flags=re.IGNORECASE)[1:] if marker else []
    found = [_without_markup(part).lstrip().partition("\n")[0].strip() for part in parts] or [_without_markup(text)]
    return found[0].strip() or None if len({normalised(each) for each in found}) == 1 else None


def normalised(text: str, *, ignore_case: bool = True, ignore_punctuation: bool = True) -> str:
    """One form of each letter (NFKC) and one space between words; small letters and no punctuation where asked."""
    text = unicodedata.normalize("NFKC", numbers.plain(text))
    text = text.casefold() if ignore_case else text
    text = _PUNCTUATION.sub(_blank, text) if ignore_punctuation else text
    return " ".join(text.split())


def span_f1(text: str, reference: str) -> float:
    """Harmonic mean of precision and recall of the words, 0 to 1, as in SQuAD (Rajpurkar et al., arXiv:1606.05250,
    section 6.1) but for figures, whose sign and decimal point count."""
    said, wanted = _words(text), _words(reference)
    shared = (said & wanted).total()
    return 2 * shared / (said.total() + wanted.total()) if shared else 0.0


def has_words(text: str) -> bool:
    """Whether anything is left to compare."""
    return bool(_words(text))


def _words(text: str) -> Counter[str]:
    return Counter(_ARTICLES.sub(" ", normalised(text)).split())


def _without_markup(text: str) -> str:
    return _MARKUP.sub(" ", text)


def _blank(match: re.Match[str]) -> str:
    """Nothing between thousands; else a space, so that two words stay two."""
    return "" if match[0] in ",'" and match.string[match.end() : match.end() + 1].isdigit() else " "
