"""Which listed words, phrases and patterns a text has, whatever their endings, and how often for its length."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

_WORD = re.compile(r"[a-z0-9]+(?:['’&/.-][a-z0-9]+)*")
_JOINT = re.compile(r"['’&/.-]")
_ENDING = re.compile(r"(?<=.{4})(?:ings|ing|ied|ies|ed|es|s|e|y|ly)$")
_COUNTED_AT_MOST = 2
_READ = 2_000
"""Characters: they tell the field, and bound the time that a long text takes."""


@dataclass(frozen=True)
class Pattern:
    """What a word list cannot say: amounts, tickers, names of quarters, code."""

    name: str
    regex: str


@dataclass(frozen=True)
class Vocabulary:
    """Names what is listed; a word that is not listed as it stands counts as a listed one of its stem."""

    phrases: Mapping[str, str]
    """Listed word or phrase, its words in the singular -> its name."""
    stems: Mapping[str, str]
    patterns: Sequence[tuple[str, re.Pattern[str]]]
    per_words: float
    """Evidence of a text of more words than that is divided by the root of its length in this unit."""
    parts: frozenset[str] = field(repr=False)
    longest: Mapping[str, int] = field(repr=False)
    """First word -> words of the longest phrase that begins with it."""

    @classmethod
    def of(cls, names: Iterable[str], patterns: Iterable[Pattern], per_words: float) -> Self:
        phrases = {" ".join(map(_singular, _words(name))): name for name in sorted(names)}
        single = sorted((phrase for phrase in phrases if " " not in phrase), key=lambda word: (-len(word), word))
        return cls(
            phrases=phrases,
            stems={_stem(word): phrases[word] for word in single},
            patterns=[(pattern.name, re.compile(pattern.regex)) for pattern in patterns],
            per_words=per_words,
            parts=frozenset(word for phrase in phrases for word in phrase.split()),
            longest={
                phrase.split()[0]: len(phrase.split()) for phrase in sorted(phrases, key=lambda it: it.count(" "))
            },
        )

    def features(self, text: str) -> dict[str, float]:
        """Name -> times found (two at most) in its beginning, less in a long text."""
        text = text[:_READ]
        words = [word for token in _words(text) for word in self._known(token)]
        counts = Counter(self._names(words))
        for name, regex in self.patterns:
            if found := len(regex.findall(text)):
                counts[name] = found
        scale = math.sqrt(max(1.0, len(words) / self.per_words))
        return {name: min(count, _COUNTED_AT_MOST) / scale for name, count in counts.items()}

    def _known(self, token: str) -> list[str]:
        """'debt-to-equity' is listed and stays whole, 'lower-margin' and 'company's' are not."""
        word = _singular(token)
        if token.isalnum() or word in self.parts:
            return [word]
        return [_singular(part) for part in _JOINT.split(token)]

    def _names(self, words: list[str]) -> Iterator[str]:
        """From left to right, the longest phrase first: 'chicken stock' is no stock."""
        place = 0
        while place < len(words):
            length, name = self._longest_at(words, place)
            if name:
                yield name
            place += length

    def _longest_at(self, words: list[str], place: int) -> tuple[int, str | None]:
        for length in range(self.longest.get(words[place], 0), 0, -1):
            name = self.phrases.get(" ".join(words[place : place + length]))
            if name:
                return min(length, len(words) - place), name
        return 1, self.stems.get(_stem(words[place]))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


@lru_cache(maxsize=1 << 16)
def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    """Rough on purpose: endings of verbs, plurals and doubled last letters."""
    stem = _ENDING.sub("", word)
    return stem[:-1] if len(stem) > 4 and stem[-1] == stem[-2] else stem
