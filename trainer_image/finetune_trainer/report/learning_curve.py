"""Where the lines of the training's losses go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WIDTH, HEIGHT = 480, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 170
_MOST_POINTS = 240
"""More than the drawing is wide in points of a screen would only weigh."""


@dataclass(frozen=True)
class Losses:
    """Losses by step; of the held-out examples, step 0 is the base model."""

    training: Mapping[int, float]
    validation: Mapping[int, float]


@dataclass(frozen=True)
class LearningCurve:
    """Places in the units of the drawing, as SVG's polylines take them."""

    training: str
    validation: str
    dots: tuple[tuple[float, float], ...]
    lowest: str
    highest: str
    last_step: int


def learning_curve(losses: Losses) -> LearningCurve | None:
    """None where there is no loss to draw."""
    values = [*losses.training.values(), *losses.validation.values()]
    if not values:
        return None
    low, high = min(values), max(values)
    last = max(1, *losses.training, *losses.validation)

    def place(step: int, loss: float) -> tuple[float, float]:
        x = _LEFT + step / last * (WIDTH - _LEFT - _RIGHT)
        y = _BOTTOM - (loss - low) / ((high - low) or 1.0) * (_BOTTOM - _TOP)
        return round(x, 1), round(y, 1)

    training = [place(*point) for point in _thinned(sorted(losses.training.items()))]
    validation = [place(*point) for point in _thinned(sorted(losses.validation.items()))]
    return LearningCurve(_line(training), _line(validation), tuple(validation), f"{low:.2f}", f"{high:.2f}", last)


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    stride = -(-len(points) // _MOST_POINTS) or 1
    return [*points[:-1:stride], *points[-1:]]


def _line(places: list[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in places)
