"""Several comparisons on the same examples at once: intervals that all hold together in 95% of the cases.

Every comparison is flipped with the same signs, so what they have in common, a base model's answers, stays in common.
For each flip of the groups' residuals the statistics are studentized (the sum of squares is the same under every flip)
and the largest is kept: the max-t distribution (Romano and Wolf, "Exact and approximate stepdown methods for multiple
hypothesis testing", 2005). Its 95% quantile is turned into each comparison's own level, the share of its flips beyond
that quantile, and the interval is the set of d0 that flipping signs does not reject at that level. So a single
comparison has the interval that it would have had alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finetune_trainer.statistics import sign_flip
from finetune_trainer.statistics.inference import IntArray, Sample
from finetune_trainer.statistics.sign_flip import ALPHA, FloatArray


@dataclass(frozen=True)
class Interval:
    """A difference with its simultaneous 95% interval, and the p value that it has alone."""

    estimate: float
    low: float
    high: float
    p: float


def simultaneous(samples: Sequence[Sample], bounds: tuple[float, float]) -> tuple[Interval, ...]:
    """Of samples of the same examples, in their order; the wider of the intervals by group and by pattern."""
    first = samples[0]
    differences = np.stack([each.differences for each in samples], axis=1)
    by_group = _by(first.groups, first.weights, differences, bounds)
    if first.patterns is None:
        return by_group
    by_pattern = _by(first.patterns, first.weights, differences, bounds)
    return tuple(max(pair, key=_width) for pair in zip(by_group, by_pattern, strict=True))


def _width(interval: Interval) -> float:
    return interval.high - interval.low


def _by(
    labels: Sequence[str], weights: FloatArray, differences: FloatArray, bounds: tuple[float, float]
) -> tuple[Interval, ...]:
    _, index = np.unique(np.array(labels), return_inverse=True)
    sizes = _sums(index, weights)
    sums = np.stack([_sums(index, weights * column) for column in differences.T], axis=1)
    estimates = sums.sum(axis=0) / sizes.sum()
    found = sign_flip.supported(sums, sizes)
    p_values = found.p_values()
    ends = [
        (low[number], high[number])
        for number, level in enumerate(_levels(sums - sizes[:, np.newaxis] * estimates))
        for low, high in [found.interval(level)]
    ]
    return tuple(
        Interval(float(estimate), max(float(low), bounds[0]), min(float(high), bounds[1]), float(p))
        for estimate, (low, high), p in zip(estimates, ends, p_values, strict=True)
    )


def _levels(residuals: FloatArray) -> FloatArray:
    """Each comparison's own level, so that together they err in 5% of the cases. One that differs nowhere from its
    mean has nothing to err in."""
    spread = np.sqrt((residuals**2).sum(axis=0))
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-12)
    statistics = np.concatenate(
        [np.abs((2 * kept - 1) @ residuals) * scale for kept in sign_flip.signs(len(residuals))]
    )
    largest = np.sort(statistics.max(axis=1))
    critical = largest[int(np.ceil((1 - ALPHA) * len(largest))) - 1]
    shares: FloatArray = np.mean(statistics >= critical, axis=0)
    return np.where(scale > 0, np.minimum(shares, ALPHA), ALPHA).astype(np.float64)


def _sums(index: IntArray, values: FloatArray) -> FloatArray:
    return np.bincount(index, weights=values).astype(np.float64)
