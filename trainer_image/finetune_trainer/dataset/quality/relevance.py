"""How much a text is about finance: a logistic score over weighted words, whose list is finance_words.yaml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from finetune_trainer.dataset.quality.vocabulary import Pattern, Vocabulary

WORDS_FILE = Path(__file__).resolve().parent / "finance_words.yaml"
IRRELEVANT_BELOW = 0.5
"""A score below it: the words speak rather for another field."""
LANGUAGE_OF_THE_WORDS = "en"


@dataclass(frozen=True)
class Lexicon:
    """Weights of words, phrases and patterns (by its name); positive ones speak for finance."""

    bias: float
    weights: Mapping[str, float]
    vocabulary: Vocabulary

    def score(self, text: str) -> float:
        """0 to 1."""
        features = self.vocabulary.features(text)
        return _logistic(self.bias + sum(self.weights[name] * amount for name, amount in features.items()))


@cache
def finance_lexicon() -> Lexicon:
    """The list of the repository."""
    document = yaml.safe_load(WORDS_FILE.read_text(encoding="utf-8"))
    words = {str(word): weight for weight, words in document["words"].items() for word in words}
    return Lexicon(
        bias=document["bias"],
        weights=words | {item["name"]: item["weight"] for item in document["patterns"]},
        vocabulary=Vocabulary.of(
            words, [Pattern(item["name"], item["regex"]) for item in document["patterns"]], document["per_words"]
        ),
    )


def relevance(text: str) -> float:
    """How much a text is about finance, 0 to 1."""
    return finance_lexicon().score(text)


def _logistic(evidence: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, evidence))))
