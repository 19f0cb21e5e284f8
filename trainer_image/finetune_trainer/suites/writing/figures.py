"""Draws the figures that fill a sentence, exact in the digits that are shown."""

from __future__ import annotations

import string
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from random import Random

Figures = Mapping[str, str]
Years = tuple[int, int]
"""First and last of the years that a text may be about."""

SUITE_YEARS: Years = (2015, 2025)

_CENT = Decimal("0.01")
_TENTH = Decimal("0.1")
_QUARTERS = ("first", "second", "third", "fourth")


def fill(template: str, company: str, figures: Figures) -> str:
    """The sentence with its company and figures."""
    return template.format(company=company, **figures)


def fields(template: str) -> frozenset[str]:
    """The names of what the sentence leaves open."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name)


def cents(random: Random, low: int, high: int) -> Decimal:
    """A dollar amount to the cent, its bounds in cents."""
    return random.randint(low, high) * _CENT


def tenths(random: Random, low: int, high: int) -> Decimal:
    """An amount with one decimal, its bounds in whole units."""
    return random.randint(10 * low, 10 * high) * _TENTH


def shown(value: Decimal) -> str:
    """1260.0 as 1,260 and 84.25 as 84.25."""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rounded(value: Decimal, step: Decimal) -> Decimal:
    """The nearest multiple of a power of ten, halves away from zero."""
    return (value / step).quantize(Decimal(1), rounding=ROUND_HALF_UP) * step


def surroundings(random: Random, years: Years = SUITE_YEARS) -> dict[str, str]:
    """The figures that are not asked for: periods, and amounts that distract."""
    year = random.randint(*years)
    return {
        "quarter": random.choice(_QUARTERS),
        "year": str(year),
        "prior_year": str(year - 1),
        "two_years_before": str(year - 2),
        "revenue": shown(tenths(random, 40, 4000)),
        "prior_revenue": shown(tenths(random, 40, 4000)),
        "cash": shown(tenths(random, 20, 900)),
        "charge": shown(tenths(random, 2, 90)),
        "cost": shown(tenths(random, 20, 900)),
        "profit": shown(tenths(random, 2, 90)),
        "guidance": shown(tenths(random, 40, 900)),
        "amount": str(random.randint(12, 480)),
        "percent": str(random.randint(3, 38)),
        "occupancy": str(random.randint(61, 96)),
        "count": str(random.randint(3, 11)),
        "staff": f"{random.randint(8, 190) * 100:,}",
        "price": f"{cents(random, 800, 24_000):.2f}",
        "dividend": f"{cents(random, 5, 120):.2f}",
        "shares": str(10 * random.randint(2, 48)),
    }
