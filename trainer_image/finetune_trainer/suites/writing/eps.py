"""Writes questions on earnings per share."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from finetune_trainer.suites.writing import eps_patterns, figures, hard_patterns
from finetune_trainer.suites.writing.question import Question

PATTERNS = eps_patterns.PROFITS + eps_patterns.LOSSES
TRAINING_PATTERNS = eps_patterns.TRAINING_PROFITS + eps_patterns.TRAINING_LOSSES

_LOSSES = frozenset(eps_patterns.LOSSES + eps_patterns.TRAINING_LOSSES + hard_patterns.EPS_LOSSES)
_THOUSAND = Decimal(1000)
_DECOYS = ("prior_eps", "adjusted_eps", "consensus_eps", "guided_eps")


def write(pattern: str, company: str, random: Random, years: figures.Years = figures.SUITE_YEARS) -> Question:
    """A question from one pattern."""
    size = figures.cents(random, 6, 985)
    text = figures.fill(pattern, company, _figures(size, random, years))
    reference = f"{-size if pattern in _LOSSES else size:.2f}"
    return Question(text, reference, answer=f"EPS: {reference}")


def _figures(size: Decimal, random: Random, years: figures.Years) -> dict[str, str]:
    """Net income is the exact product, so that a division gives the figure back to the cent."""
    filled = figures.surroundings(random, years)
    filled["eps"] = f"{size:.2f}"
    net_income, shares = size * Decimal(filled["shares"]), Decimal(filled["shares"])
    filled["net_income"] = figures.shown(net_income)
    filled["net_income_thousand"] = figures.shown(net_income * _THOUSAND)
    filled["net_income_billion"] = figures.shown(net_income / _THOUSAND)
    filled["shares_thousand"] = figures.shown(shares * _THOUSAND)
    filled["basic_eps"] = f"{size + figures.cents(random, 1, 9):.2f}"
    for name in _DECOYS:
        filled[name] = f"{_another(size, random):.2f}"
    return filled


def _another(size: Decimal, random: Random) -> Decimal:
    """An amount near the true one, yet plainly different from it."""
    near = size * random.randint(60, 140) / 100
    other = figures.rounded(near, Decimal("0.01"))
    return other if abs(other - size) >= Decimal("0.02") else size + Decimal("0.03")
