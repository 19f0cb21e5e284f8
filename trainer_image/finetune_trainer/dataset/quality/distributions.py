"""Lengths and labels: how the examples are spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

_LABEL_WORDS = 3
_REPEATED = 3


@dataclass(frozen=True)
class Bar:
    """How many lie from `low` up to but without `high`."""

    low: int
    high: int
    count: int


@dataclass(frozen=True)
class Histogram:
    """Lengths in bars whose width doubles: a few texts may be a thousand times as long as most."""

    name: str
    unit: str
    bars: tuple[Bar, ...]
    shortest: int
    middle: float
    longest: int

    @property
    def highest(self) -> int:
        return max((bar.count for bar in self.bars), default=0)


def histogram(name: str, unit: str, lengths: Sequence[int]) -> Histogram:
    """Bars from 0, 1, 2, 4, 8 and so on to the longest, without empty ones at either end."""
    counts = Counter(length.bit_length() for length in lengths)
    bars = tuple(
        Bar(low=_lowest(bits), high=1 << bits, count=counts[bits])
        for bits in range(min(counts, default=0), max(counts, default=-1) + 1)
    )
    if not lengths:
        return Histogram(name, unit, (), 0, 0.0, 0)
    return Histogram(name, unit, bars, min(lengths), float(median(lengths)), max(lengths))


def _lowest(bits: int) -> int:
    return 0 if bits == 0 else 1 << (bits - 1)


def labels(answers: Iterable[str]) -> Counter[str]:
    """Short answers without a figure that repeat, with how often they do."""
    short = Counter(
        answer.strip()
        for answer in answers
        if len(answer) <= 80 and len(answer.split()) <= _LABEL_WORDS and not any(map(str.isdigit, answer))
    )
    return Counter({label: count for label, count in short.items() if count >= _REPEATED})
