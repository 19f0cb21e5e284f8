"""Fits the weights of finance_words.yaml, the list that scores how much a text is about finance.

    PYTHONPATH=operator:trainer_image:tests/calibration python tests/calibration/relevance_fit/fit.py

A logistic regression over the listed words and patterns, on tests/unit/trainer/relevance_texts/*development_*.txt and
a few questions of the suite. A word's weight is that of its family plus its own deviation, and both are penalised: a
word that the texts lack gets its family's weight. Cross-validation over the texts chooses the penalties.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from finetune_trainer.dataset.quality.relevance import WORDS_FILE
from finetune_trainer.dataset.quality.vocabulary import Pattern, Vocabulary

HERE = Path(__file__).resolve().parent
TEXTS = HERE.parents[1] / "unit" / "trainer" / "relevance_texts"
SUITE = HERE.parents[2] / "trainer_image" / "finetune_trainer" / "suites" / "finance"
TASKS, OF_EACH_TASK = ("eps-extraction", "revenue-analysis", "sentiment-analysis", "perplexity"), 25
FOLDS = 6
BIAS_PENALTY = 0.01
FAMILY_PENALTIES = (0.03, 0.1, 0.3)
DEVIATION_PENALTIES = (0.1, 0.3)
PER_WORDS = 8.0
STEPS, SETTLED = 100, 1e-6
HEADER = """\
# How much a word speaks for a text being about finance. A text's score is
# 1 / (1 + exp(-(bias + sum of weights / length))) with length = sqrt(max(1, words / per_words)), where a word counts
# twice at most. The longest phrase wins, and a word
# that is not listed counts as a listed one of its stem. Written by tests/calibration/relevance_fit/fit.py.
"""


@dataclass(frozen=True)
class Candidates:
    """Words and patterns before they have weights."""

    family_of: dict[str, str]
    patterns: list[Pattern]

    def vocabulary(self, per_words: float) -> Vocabulary:
        words = [name for name in self.family_of if name not in {pattern.name for pattern in self.patterns}]
        return Vocabulary.of(words, self.patterns, per_words)


@dataclass(frozen=True)
class Design:
    """`values` (texts, columns): the columns of the families come first, then those of the deviations."""

    values: np.ndarray
    families: list[str]
    names: list[str]

    def penalties(self, of_families: float, of_deviations: float) -> np.ndarray:
        return np.r_[np.full(len(self.families), of_families), np.full(len(self.names), of_deviations)]


def candidates() -> Candidates:
    families = yaml.safe_load((HERE / "families.yaml").read_text(encoding="utf-8"))
    family_of = {str(word): family for family, words in reversed(families.items()) for word in words}
    items = yaml.safe_load((HERE / "patterns.yaml").read_text(encoding="utf-8"))
    patterns = [Pattern(item["name"], item["regex"]) for item in items]
    return Candidates(family_of | {item["name"]: f"patterns of {item['of']}" for item in items}, patterns)


def texts_of(kind: str) -> list[str]:
    files = sorted(TEXTS.glob(f"*development_{kind}.txt"))
    return [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def texts_of_the_suite() -> list[str]:
    """Evenly over each task's questions."""
    return [text for task in TASKS for text in _of_task(SUITE / f"{task}.jsonl")]


def _of_task(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [_whole(json.loads(line)) for line in lines[:: len(lines) // OF_EACH_TASK]]


def _whole(record: dict[str, Any]) -> str:
    if "text" in record:
        return str(record["text"])
    return "\n".join([*(message["content"] for message in record["messages"]), str(record["reference"])])


def design(texts: Sequence[str], family_of: dict[str, str], vocabulary: Vocabulary) -> Design:
    found = [vocabulary.features(text) for text in texts]
    families = sorted(set(family_of.values()))
    names = sorted(set().union(*found))
    of_family, of_name = ({name: place for place, name in enumerate(some)} for some in (families, names))
    values = np.zeros((len(texts), len(families) + len(names)))
    for row, (name, amount) in ((row, item) for row, features in enumerate(found) for item in features.items()):
        values[row, of_family[family_of[name]]] += amount
        values[row, len(families) + of_name[name]] += amount
    return Design(values, families, names)


def fit(values: np.ndarray, is_finance: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Bias and weights that minimise log loss + sum(penalties * weights^2) / 2.

    Newton's method in as many unknowns as there are texts, fewer than words (Rasmussen and Williams, Gaussian Processes
    for Machine Learning, 2006, algorithm 3.1, with the kernel X diag(1 / penalties) X').
    """
    rows = np.c_[np.ones(len(values)), values]
    kernel = (rows / np.r_[BIAS_PENALTY, penalties]) @ rows.T
    score, multiplier = np.zeros(len(rows)), np.zeros(len(rows))
    for _ in range(STEPS):
        chance = _logistic(score)
        spread = np.sqrt(chance * (1 - chance))
        target = spread**2 * score + is_finance - chance
        curvature = np.eye(len(rows)) + spread[:, None] * kernel * spread
        multiplier = target - spread * np.linalg.solve(curvature, spread * (kernel @ target))
        before, score = score, kernel @ multiplier
        if np.abs(score - before).max() < SETTLED:
            return np.asarray(rows.T @ multiplier / np.r_[BIAS_PENALTY, penalties])
    raise ArithmeticError("the fit did not settle")


def _logistic(score: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(score, -30, 30))))


def log_loss(chances: np.ndarray, is_finance: np.ndarray) -> float:
    told = np.clip(np.where(is_finance == 1, chances, 1 - chances), 1e-12, 1)
    return float(-np.log(told).mean())


def auroc(scores: np.ndarray, is_finance: np.ndarray) -> float:
    differences = scores[is_finance == 1][:, None] - scores[is_finance == 0][None, :]
    return float(((differences > 0) + (differences == 0) / 2).mean())


def unseen_chances(made: Design, is_finance: np.ndarray, fold: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Each text's chance by the fit to the other folds; fold -1 (the suite's) is always fitted to."""
    chances = np.full(len(fold), np.nan)
    for place in range(FOLDS):
        seen = fold != place
        weights = fit(made.values[seen], is_finance[seen], penalties)
        chances[~seen] = _logistic(weights[0] + made.values[~seen] @ weights[1:])
    return chances


def listed(found: Candidates, made: Design, weights: np.ndarray) -> tuple[float, dict[str, float]]:
    """Bias and rounded weights of all words and patterns, seen or not."""
    of_family = dict(zip(made.families, weights[1:], strict=False))
    deviation = dict(zip(made.names, weights[1 + len(made.families) :], strict=True))
    return float(round(weights[0], 2)), {
        name: float(round(of_family[family] + deviation.get(name, 0.0), 1)) for name, family in found.family_of.items()
    }


def document(found: Candidates, per_words: float, bias: float, weights: dict[str, float]) -> dict[str, Any]:
    patterns = [
        {"name": pattern.name, "regex": pattern.regex, "weight": weights.pop(pattern.name)}
        for pattern in found.patterns
    ]
    by_weight = {
        weight: sorted(name for name, its in weights.items() if its == weight)
        for weight in sorted(set(weights.values()), reverse=True)
    }
    return {"bias": bias, "per_words": per_words, "words": by_weight, "patterns": patterns}


def main() -> None:
    found = candidates()
    finance, other, suite = texts_of("finance"), texts_of("other"), texts_of_the_suite()
    texts = [*finance, *other, *suite]
    is_finance = np.r_[np.ones(len(finance)), np.zeros(len(other)), np.ones(len(suite))]
    fold = np.r_[np.arange(len(finance) + len(other)) % FOLDS, np.full(len(suite), -1)]
    own = fold >= 0
    made = design(texts, found.family_of, found.vocabulary(PER_WORDS))
    losses: dict[tuple[float, float], float] = {}
    for pair in itertools.product(FAMILY_PENALTIES, DEVIATION_PENALTIES):
        chances = unseen_chances(made, is_finance, fold, made.penalties(*pair))[own]
        losses[pair] = log_loss(chances, is_finance[own])
        print(f"penalties {pair}: loss {losses[pair]:.4f}, AUROC {auroc(chances, is_finance[own]):.4f}")
    best = min(losses, key=losses.__getitem__)
    bias, weights = listed(found, made, fit(made.values, is_finance, made.penalties(*best)))
    body = yaml.safe_dump(
        document(found, PER_WORDS, bias, weights),
        sort_keys=False,
        default_flow_style=None,
        width=116,
        allow_unicode=True,
    )
    WORDS_FILE.write_text(HEADER + body, encoding="utf-8")


if __name__ == "__main__":
    main()
