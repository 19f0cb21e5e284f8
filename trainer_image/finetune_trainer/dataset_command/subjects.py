"""What generated rows ask, and in which words at which difficulty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

from finetune_trainer.suites.writing import (
    easy_patterns,
    eps,
    eps_patterns,
    figures,
    hard_patterns,
    instructions,
    revenue,
    sentiment,
)
from finetune_trainer.suites.writing.question import Question
from finetune_trainer.suites.writing.sentiment_patterns import Theme

_DISTRACTING = {"prior_eps", "adjusted_eps", "consensus_eps", "guided_eps", "basic_eps", "net_income"}
_IN_BILLIONS = {"now_billion", "before_billion"}


class Difficulty(StrEnum):
    """Easy: one plain sentence. Medium: decoys, sums, losses and a sentence beside the point. Hard: also several units,
    signals that point both ways, and another company's figures."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"
    MIXED = "mixed"
    """Each row has one of the three."""


class Task(StrEnum):
    EPS = "eps"
    SENTIMENT = "sentiment"
    REVENUE = "revenue"


@dataclass(frozen=True)
class Subject:
    """One task: its question, its writer, and its patterns by difficulty."""

    instruction: str
    write: Callable[[Any, str, Random, figures.Years], Question]
    patterns: Mapping[Difficulty, Sequence[Any]]


def _plain(patterns: Sequence[str], distracting: set[str]) -> tuple[str, ...]:
    return tuple(pattern for pattern in patterns if not figures.fields(pattern) & distracting)


SUBJECTS: Mapping[Task, Subject] = {
    Task.EPS: Subject(
        instructions.EPS,
        eps.write,
        {
            Difficulty.EASY: (*easy_patterns.EPS, *_plain(eps_patterns.TRAINING_PROFITS, _DISTRACTING)),
            Difficulty.MEDIUM: eps.TRAINING_PATTERNS,
            Difficulty.HARD: (*hard_patterns.EPS_PROFITS, *hard_patterns.EPS_LOSSES),
        },
    ),
    Task.SENTIMENT: Subject(
        instructions.SENTIMENT,
        sentiment.write,
        {
            Difficulty.EASY: sentiment.TRAINING_PATTERNS,
            Difficulty.MEDIUM: sentiment.TRAINING_PATTERNS,
            Difficulty.HARD: tuple(Theme(*tellings) for tellings in hard_patterns.MIXED_SENTIMENT),
        },
    ),
    Task.REVENUE: Subject(
        instructions.REVENUE,
        revenue.write,
        {
            Difficulty.EASY: (*easy_patterns.REVENUE, *_plain(revenue.TRAINING_PATTERNS, _IN_BILLIONS)),
            Difficulty.MEDIUM: revenue.TRAINING_PATTERNS,
            Difficulty.HARD: hard_patterns.REVENUE,
        },
    ),
}
