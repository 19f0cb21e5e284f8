"""Flips the signs of whole groups' sums: one null distribution that gives the p value and the exact interval.

For a supposed difference d0 the statistic is T = sum over groups of (sum of the group's differences - its size * d0).
Were d0 true, each group's term could as well have had the other sign. Let a flip keep the groups P as they are and turn
the groups M over. Its statistic is at least as extreme as T exactly when (T_P - T_M)^2 >= (T_P + T_M)^2, that is when
T_P * T_M <= 0, that is when d0 lies between the mean difference in P and the mean difference in M. So each flip
supports one interval of d0, p(d0) is the share of flips whose interval holds d0, and the 95% interval takes two order
statistics and no search.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ALPHA = 0.05
FLIPS = 10_000
EXACT_GROUPS = 13
"""Up to here all flips are fewer than `FLIPS`, so all are taken."""

SEED = 20_250_301
_FLIPS_AT_ONCE = 1_000
_DECIMALS = 12
"""Means that differ by less are ties that floating point pulled apart."""


@dataclass(frozen=True)
class SignFlip:
    """A difference with what flipping says of it. An unbounded end is infinite."""

    estimate: float
    low: float
    high: float
    p: float
    flips: int
    exact: bool


def sign_flip(sums: FloatArray, sizes: FloatArray) -> SignFlip:
    """The inference on a difference from each group's sum of differences and its size (or weight)."""
    lows, highs = _supported(sums, sizes)
    rank = math.ceil(ALPHA * len(lows) - 1e-9)
    return SignFlip(
        estimate=float(sums.sum() / sizes.sum()),
        low=float(np.partition(lows, rank - 1)[rank - 1]),
        high=float(-np.partition(-highs, rank - 1)[rank - 1]),
        p=float(np.mean((lows <= 0) & (highs >= 0))),
        flips=len(lows),
        exact=len(sums) <= EXACT_GROUPS,
    )


def _supported(sums: FloatArray, sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The interval of d0 that each flip supports. The identity, and a flip of every group, support all of them."""
    means = [_two_means(kept, sums, sizes) for kept in _flips(len(sums))]
    kept_means = np.concatenate([kept for kept, _ in means])
    turned_means = np.concatenate([turned for _, turned in means])
    one_sided = np.isnan(kept_means) | np.isnan(turned_means)
    lows = np.where(one_sided, -np.inf, np.fmin(kept_means, turned_means))
    highs = np.where(one_sided, np.inf, np.fmax(kept_means, turned_means))
    return _rounded(lows), _rounded(highs)


def _two_means(kept: FloatArray, sums: FloatArray, sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The mean difference over the kept groups and over the turned ones, for each flip; NaN over no group."""
    turned = 1.0 - kept
    return _ratio(kept @ sums, kept @ sizes), _ratio(turned @ sums, turned @ sizes)


def _rounded(means: FloatArray) -> FloatArray:
    return np.round(means, _DECIMALS).astype(np.float64)


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    empty = np.full_like(numerator, np.nan)
    return np.divide(numerator, denominator, out=empty, where=denominator > 0)


def _flips(groups: int) -> Iterator[FloatArray]:
    """Rows of 1 (kept) and 0 (turned). A flip and its mirror image support the same interval: exactly, half suffice."""
    if groups <= EXACT_GROUPS:
        numbers = np.arange(2 ** (groups - 1), dtype=np.int64)[:, np.newaxis]
        yield 1.0 - ((numbers >> np.arange(groups)) & 1).astype(np.float64)
        return
    generator = np.random.default_rng(SEED)
    yield np.ones((1, groups))
    for start in range(1, FLIPS, _FLIPS_AT_ONCE):
        rows = min(_FLIPS_AT_ONCE, FLIPS - start)
        yield generator.integers(0, 2, size=(rows, groups), dtype=np.int8).astype(np.float64)
