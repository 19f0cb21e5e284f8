"""Where the lines of the plot go: each effect with its interval, zero, and the margin around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from finetune_trainer.statistics.results import TaskResult

WIDTH = 480
ROW_HEIGHT = 46
_SIDE = 16
_TOP = 8
_TICKS = 5


@dataclass(frozen=True)
class Row:
    """One effect."""

    title: str
    figures: str
    verdict: str
    y: float
    low: float
    high: float
    estimate: float


@dataclass(frozen=True)
class Tick:
    """A number on the axis."""

    label: str
    x: float


@dataclass(frozen=True)
class ForestPlot:
    """All places in the units of the drawing."""

    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    zero: float
    margin_low: float
    margin_high: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom + 40


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float

    def x(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(_SIDE + share * (WIDTH - 2 * _SIDE), 1)


def forest_plot(results: Sequence[TaskResult], margin: float) -> ForestPlot:
    """A row for each result, from top to bottom."""
    scale = _scale(results, margin)
    return ForestPlot(
        rows=tuple(_row(result, number, scale) for number, result in enumerate(results)),
        ticks=tuple(Tick(_label(value), scale.x(value)) for value in _ticks(scale)),
        zero=scale.x(0),
        margin_low=scale.x(-margin),
        margin_high=scale.x(margin),
        bottom=_TOP + ROW_HEIGHT * len(results),
    )


def _scale(results: Sequence[TaskResult], margin: float) -> _Scale:
    low = min(-margin, *(result.inference.low for result in results))
    high = max(margin, *(result.inference.high for result in results))
    room = 0.04 * (high - low)
    return _Scale(low - room, high + room)


def _row(result: TaskResult, number: int, scale: _Scale) -> Row:
    found = result.inference
    return Row(
        title=result.title,
        figures=f"{result.difference:+.2f} [{found.low:+.2f}, {found.high:+.2f}]",
        verdict=result.verdict,
        y=_TOP + ROW_HEIGHT * number,
        low=scale.x(found.low),
        high=scale.x(found.high),
        estimate=scale.x(result.difference),
    )


def _ticks(scale: _Scale) -> list[float]:
    step = _round_step((scale.high - scale.low) / _TICKS)
    first, last = math.ceil(scale.low / step), math.floor(scale.high / step)
    return [number * step for number in range(first, last + 1)]


def _round_step(step: float) -> float:
    """The next of 1, 2, 5, 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def _label(value: float) -> str:
    return "0" if abs(value) < 1e-9 else f"{value:+.2g}"
