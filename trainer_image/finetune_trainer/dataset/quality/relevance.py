"""How much a text is about finance: a logistic score over weighted words, whose list is finance_words.yaml."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

WORDS_FILE = Path(__file__).resolve().parent / "finance_words.yaml"
IRRELEVANT_BELOW = 0.5
"""A score below it: the words speak rather for another field."""
LANGUAGE_OF_THE_WORDS = "en"

_WORD = re.compile(r"[a-z0-9]+(?:['’&/-][a-z0-9]+)*")
_LONGEST_PHRASE = 3
_COUNTED_AT_MOST = 2


@dataclass(frozen=True)
class Pattern:
    """What a word list cannot say: amounts, tickers, names of quarters."""

    name: str
    regex: re.Pattern[str]
    weight: float


@dataclass(frozen=True)
class Lexicon:
    """Weights of words, phrases and patterns; positive ones speak for finance."""

    bias: float
    per_words: float
    weights: dict[str, float]
    patterns: tuple[Pattern, ...]

    def score(self, text: str) -> float:
        """0 to 1."""
        words = [_singular(word) for word in _WORD.findall(text.lower())]
        evidence = self._of_words(words) + self._of_patterns(text)
        return _logistic(self.bias + evidence / math.sqrt(max(1.0, len(words) / self.per_words)))

    def _of_words(self, words: list[str]) -> float:
        counts = Counter(self._phrases(words))
        return sum(self.weights[phrase] * min(count, _COUNTED_AT_MOST) for phrase, count in counts.items())

    def _of_patterns(self, text: str) -> float:
        return sum(
            pattern.weight * min(sum(1 for _ in pattern.regex.finditer(text)), _COUNTED_AT_MOST)
            for pattern in self.patterns
        )

    def _phrases(self, words: list[str]) -> Iterator[str]:
        """Listed phrases from left to right, the longest first: 'chicken stock' is no stock."""
        place = 0
        while place < len(words):
            for length in range(_LONGEST_PHRASE, 0, -1):
                phrase = " ".join(words[place : place + length])
                if phrase in self.weights:
                    yield phrase
                    place += length - 1
                    break
            place += 1


@cache
def finance_lexicon() -> Lexicon:
    """The list of the repository."""
    document = yaml.safe_load(WORDS_FILE.read_text(encoding="utf-8"))
    return Lexicon(
        bias=document["bias"],
        per_words=document["per_words"],
        weights={_singular_phrase(str(word)): weight for weight, words in document["words"].items() for word in words},
        patterns=tuple(
            Pattern(item["name"], re.compile(item["regex"]), item["weight"]) for item in document["patterns"]
        ),
    )


def relevance(text: str) -> float:
    """How much a text is about finance, 0 to 1."""
    return finance_lexicon().score(text)


def _singular_phrase(phrase: str) -> str:
    return " ".join(_singular(word) for word in phrase.lower().split())


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _logistic(evidence: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, evidence))))
