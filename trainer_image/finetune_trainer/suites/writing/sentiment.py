"""Writes questions on the sentiment of company news."""

from __future__ import annotations

from random import Random

from finetune_trainer.suites.writing import figures, sentiment_patterns
from finetune_trainer.suites.writing.question import Question
from finetune_trainer.suites.writing.sentiment_patterns import Theme

PATTERNS = sentiment_patterns.SUITE
TRAINING_PATTERNS = sentiment_patterns.TRAINING


def write(theme: Theme, company: str, random: Random, years: figures.Years = figures.SUITE_YEARS) -> Question:
    """A question from one of a theme's three tellings."""
    label = random.choice(Theme._fields)
    telling: str = getattr(theme, label)
    text = figures.fill(telling, company, figures.surroundings(random, years))
    return Question(text, reference=label, answer=label)
