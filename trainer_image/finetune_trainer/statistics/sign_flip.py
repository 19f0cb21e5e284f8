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


@dataclass(frozen=True, eq=False)
class Supported:
    """The interval of d0 that each flip supports: a row a flip, a column a comparison on the same groups. A set of
    comparisons that are flipped together keeps its flips together, so what is joint in them can be asked for."""

    lows: FloatArray
    highs: FloatArray

    def interval(self, level: float = ALPHA) -> tuple[FloatArray, FloatArray]:
        """Of each comparison, the ends of the d0 that are not rejected at the level."""
        rank = max(1, math.ceil(level * len(self.lows) - 1e-9))
        lows = np.partition(self.lows, rank - 1, axis=0)[rank - 1]
        highs = -np.partition(-self.highs, rank - 1, axis=0)[rank - 1]
        return lows, highs

    def p_values(self, supposed: float = 0.0) -> FloatArray:
        """Of each comparison, how many of the flips are at least as extreme as the data were that the difference."""
        shares: FloatArray = np.mean((self.lows <= supposed) & (self.highs >= supposed), axis=0)
        return shares


def sign_flip(sums: FloatArray, sizes: FloatArray) -> SignFlip:
    """The inference on a difference from each group's sum of differences and its size (or weight)."""
    found = supported(sums[:, np.newaxis], sizes)
    (low,), (high,) = found.interval()
    return SignFlip(
        estimate=float(sums.sum() / sizes.sum()),
        low=float(low),
        high=float(high),
        p=float(found.p_values()[0]),
        flips=len(found.lows),
        exact=len(sums) <= EXACT_GROUPS,
    )


def supported(sums: FloatArray, sizes: FloatArray, flips: int = FLIPS) -> Supported:
    """`sums` has a row a group and a column a comparison, `sizes` an entry a group. The identity, and a flip of every
    group, support all differences."""
    lows, highs = zip(*(_ends(kept, sums, sizes) for kept in signs(len(sums), flips)), strict=True)
    return Supported(np.concatenate(lows), np.concatenate(highs))


def _ends(kept: FloatArray, sums: FloatArray, sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The mean difference over the kept groups and the one over the turned ones, for each flip: the smaller, and the
    larger."""
    kept_sizes = kept @ sizes
    kept_sums = kept @ sums
    kept_means = _ratio(kept_sums, kept_sizes)
    turned_means = _ratio(sums.sum(axis=0) - kept_sums, sizes.sum() - kept_sizes)
    kept_groups = kept.sum(axis=1, keepdims=True)
    one_sided = (kept_groups == 0) | (kept_groups == kept.shape[1])
    lows = np.where(one_sided, -np.inf, np.fmin(kept_means, turned_means))
    highs = np.where(one_sided, np.inf, np.fmax(kept_means, turned_means))
    return _rounded(lows), _rounded(highs)


def _rounded(means: FloatArray) -> FloatArray:
    return np.round(means, _DECIMALS).astype(np.float64)


def _ratio(sums: FloatArray, sizes: FloatArray) -> FloatArray:
    """NaN over no group."""
    empty = np.full_like(sums, np.nan)
    over = np.broadcast_to(sizes[:, np.newaxis], sums.shape)
    return np.divide(sums, over, out=empty, where=over > 0)


def signs(groups: int, flips: int = FLIPS) -> Iterator[FloatArray]:
    """Rows of 1 (kept) and 0 (turned), the same whenever there are as many groups. A flip and its mirror image support
    the same interval: exactly, half suffice."""
    if groups <= EXACT_GROUPS:
        numbers = np.arange(2 ** (groups - 1), dtype=np.int64)[:, np.newaxis]
        yield 1.0 - ((numbers >> np.arange(groups)) & 1).astype(np.float64)
        return
    generator = np.random.default_rng(SEED)
    yield np.ones((1, groups))
    for start in range(1, flips, _FLIPS_AT_ONCE):
        rows = min(_FLIPS_AT_ONCE, flips - start)
        yield generator.integers(0, 2, size=(rows, groups), dtype=np.int8).astype(np.float64)
