"""Writes questions on the change of revenue between two periods."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from finetune_trainer.suites.writing import figures, revenue_patterns
from finetune_trainer.suites.writing.question import Question

PATTERNS = revenue_patterns.SUITE
TRAINING_PATTERNS = revenue_patterns.TRAINING

_TENTH = Decimal("0.1")
_TEN_MILLION = Decimal(10)
_THOUSAND = Decimal(1000)


def write(pattern: str, company: str, random: Random, years: figures.Years = figures.SUITE_YEARS) -> Question:
    """A question from one pattern."""
    in_billions = bool(figures.fields(pattern) & {"now_billion", "before_billion"})
    before, now = _revenues(in_billions, random)
    text = figures.fill(pattern, company, figures.surroundings(random, years) | _shown(before, now))
    answer = growth_in_words(before, now)
    return Question(text, reference=answer, answer=answer)


def growth_in_words(before: Decimal, now: Decimal) -> str:
    """'up 12.5%' or 'down 3.0%', rounded to a tenth of a point."""
    growth = figures.rounded(100 * (now - before) / before, _TENTH)
    return f"{'up' if growth > 0 else 'down'} {abs(growth):.1f}%"


def _revenues(in_billions: bool, random: Random) -> tuple[Decimal, Decimal]:
    """Earlier and later revenue in millions. Half of the pairs change by a round share, as exercises do."""
    is_round = random.choice((True, False))
    before = _earlier(in_billions, is_round, random)
    points = Decimal(5 * random.randint(1, 9)) if is_round else figures.tenths(random, 2, 45)
    change = before * random.choice((points, -points)) / 100
    return before, figures.rounded(before + change, _TEN_MILLION if in_billions else _TENTH)


def _earlier(in_billions: bool, is_round: bool, random: Random) -> Decimal:
    if in_billions:
        return _TEN_MILLION * (20 * random.randint(6, 40) if is_round else random.randint(110, 890))
    return Decimal(20 * random.randint(2, 45)) if is_round else figures.tenths(random, 30, 900)


def _shown(before: Decimal, now: Decimal) -> dict[str, str]:
    return {
        "before": figures.shown(before),
        "now": figures.shown(now),
        "before_billion": figures.shown(before / _THOUSAND),
        "now_billion": figures.shown(now / _THOUSAND),
        "now_million": figures.shown(now),
        "before_million": figures.shown(before),
        "now_thousand": figures.shown(now * _THOUSAND),
        "before_thousand": figures.shown(before * _THOUSAND),
    }
