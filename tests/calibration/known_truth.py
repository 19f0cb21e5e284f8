"""Draws comparisons whose truth is known, many at once, and counts how often the verdict's rules say what.

What is simulated is one task's differences in score: -1, 0 or 1 an example. A share of the answers changes for no
reason, up as often as down, and a true difference adds gains. Two ways in which the examples of a group hang together:

- `DIRECTION`: which answers change is chance, but whether they go up or down is alike within a group: the share that
  goes up is the group's own, from a beta distribution with the given intra-class correlation.
- `WHOLE`: the difference itself has that correlation: each example follows its group's one draw with the probability
  sqrt(correlation), else it has its own. So a group may change as a whole, whatever the share that changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.statistics import least_groups, sign_flip
from finetune_trainer.statistics.sign_flip import FloatArray

IntArray = NDArray[np.int8]

MARGIN = 0.03
"""A suite's default."""
PER_GROUP = 15
SKEW = 4.0
"""How many times as large as the smallest group the largest is, where sizes are skewed."""
FLIPS = 999
"""Fewer than a real comparison takes: a random set of flips, the data among them, keeps its level at any number."""
TRIALS_AT_ONCE = 1_000


class Dependence(StrEnum):
    """In what the examples of a group are alike."""

    DIRECTION = "direction"
    WHOLE = "whole"


@dataclass(frozen=True)
class Cell:
    """One point of the grid."""

    correlation: float
    groups: int
    skewed: bool
    churn: float
    difference: float
    dependence: Dependence = Dependence.DIRECTION

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Examples of each group."""
        shape = np.geomspace(1, SKEW, self.groups) if self.skewed else np.ones(self.groups)
        return np.maximum(1, np.round(shape / shape.mean() * PER_GROUP)).astype(np.intp)

    @property
    def gain(self) -> float:
        """Share of the answers that become right."""
        return self.churn / 2 + self.difference

    @property
    def loss(self) -> float:
        """Share of the answers that become wrong."""
        return self.churn / 2


@dataclass(frozen=True)
class Rates:
    """How often the rules said what, of all trials; coverage of those that were not InsufficientData."""

    told: float
    improved: float
    regressed: float
    no_difference: float
    coverage: float | None


def simulate(cell: Cell, trials: int, seed: int) -> Rates:
    """The rates of a cell."""
    generator = np.random.default_rng(seed)
    portions = [min(TRIALS_AT_ONCE, trials - start) for start in range(0, trials, TRIALS_AT_ONCE)]
    counts = sum((_count(cell, draw(cell, number, generator)) for number in portions), start=np.zeros(5))
    told, covered = counts[0], counts[4]
    improved, regressed, no_difference = (float(count) / trials for count in counts[1:4])
    coverage = float(covered / told) if told else None
    return Rates(float(told) / trials, improved, regressed, no_difference, coverage)


def draw(cell: Cell, trials: int, generator: np.random.Generator) -> IntArray:
    """Differences: a row a trial, a column an example, the examples of a group side by side."""
    shape = (trials, int(cell.sizes.sum()))
    group = np.repeat(np.arange(cell.groups), cell.sizes)
    if cell.dependence is Dependence.WHOLE:
        follows = generator.random(shape) < np.sqrt(cell.correlation)
        shared = _signed(generator.random((trials, cell.groups)), cell.gain, cell.loss)[:, group]
        return np.where(follows, shared, _signed(generator.random(shape), cell.gain, cell.loss))
    changes = generator.random(shape) < cell.gain + cell.loss
    upward = _upward_shares(cell, trials, generator)[:, group]
    return np.where(changes, np.where(generator.random(shape) < upward, 1, -1), 0).astype(np.int8)


def _signed(chance: FloatArray, gain: float, loss: float) -> IntArray:
    return (chance < gain).astype(np.int8) - (chance > 1 - loss).astype(np.int8)


def _upward_shares(cell: Cell, trials: int, generator: np.random.Generator) -> FloatArray:
    mean = cell.gain / (cell.gain + cell.loss)
    if cell.correlation == 0 or mean == 1:
        return np.full((trials, cell.groups), mean)
    strength = 1 / cell.correlation - 1
    return generator.beta(strength * mean, strength * (1 - mean), (trials, cell.groups))


def group_sums(cell: Cell, values: NDArray[np.generic]) -> FloatArray:
    """A row a trial, a column a group."""
    starts = np.concatenate([[0], np.cumsum(cell.sizes)[:-1]])
    return np.add.reduceat(values, starts, axis=1, dtype=np.float64)


def _count(cell: Cell, differences: IntArray) -> FloatArray:
    """The trials that tell anything; of these Improved, Regressed, NoDifference; and those that cover the truth."""
    sizes = cell.sizes.astype(np.float64)
    changed = (group_sums(cell, differences != 0) > 0).sum(axis=1)
    effective = sizes.sum() ** 2 / (sizes**2).sum()
    told = (changed >= least_groups.MINIMUM_CHANGED_GROUPS) & (effective >= least_groups.MINIMUM_EFFECTIVE_GROUPS)
    lows, highs = sign_flip.supported(group_sums(cell, differences).T, sizes, FLIPS).interval()
    improved, regressed = lows > 0, highs < 0
    within = ~improved & ~regressed & (lows > -MARGIN) & (highs < MARGIN)
    covers = (lows <= cell.difference + 1e-9) & (highs >= cell.difference - 1e-9)
    return np.array([told.sum(), *((told & each).sum() for each in (improved, regressed, within, covers))], dtype=float)
