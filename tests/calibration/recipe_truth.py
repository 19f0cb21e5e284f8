"""Draws replicates whose recipe's truth is known, and counts how often the verdict on the recipe says what.

Each seed has a true difference of its own, normal around the recipe's. Its answers change as a cell of `known_truth`
has it, up or down alike within a group. Part of what changes is the same for all seeds, as it is with trainings that
begin from one base model: each answer follows the draw that all seeds share with that probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from finetune_trainer.statistics import least_groups, recipe, sign_flip
from finetune_trainer.statistics.sign_flip import FloatArray
from known_truth import FLIPS, MARGIN, Cell, IntArray, Rates, group_sums

SHARED = 0.5
"""How often an answer changes alike in all seeds."""
_TRIALS_AT_ONCE = 250


@dataclass(frozen=True)
class RecipeCell:
    """One point of the grid: what `Cell` has, and the seeds."""

    cell: Cell
    seeds: int
    spread: float
    """Standard deviation of the true difference between seeds."""


def simulate_recipe(point: RecipeCell, trials: int, seed: int) -> Rates:
    """The rates of a point."""
    generator = np.random.default_rng(seed)
    portions = [min(_TRIALS_AT_ONCE, trials - start) for start in range(0, trials, _TRIALS_AT_ONCE)]
    counts = sum((_count(point, _draw(point, number, generator)) for number in portions), start=np.zeros(5))
    told, improved, regressed, no_difference, covered = (float(count) for count in counts)
    shares = (each / trials for each in (told, improved, regressed, no_difference))
    return Rates(*shares, coverage=covered / told if told else None)


def _draw(point: RecipeCell, trials: int, generator: np.random.Generator) -> list[IntArray]:
    """Of each seed: a row a trial, a column an example."""
    cell = point.cell
    shared = _differences(cell, np.full(trials, cell.difference), generator)
    # What follows the shared draw has its difference, so that the rest has to bring the seed's own.
    own_spread = point.spread / (1 - SHARED)
    found = []
    for _ in range(point.seeds):
        truth = generator.normal(cell.difference, own_spread, trials)
        own = _differences(cell, truth, generator)
        found.append(np.where(generator.random(own.shape) < SHARED, shared, own))
    return found


def _differences(cell: Cell, truth: FloatArray, generator: np.random.Generator) -> IntArray:
    """Of one model whose true difference is another one in each trial."""
    gain, loss = cell.churn / 2 + np.maximum(truth, 0), cell.churn / 2 + np.maximum(-truth, 0)
    group = np.repeat(np.arange(cell.groups), cell.sizes)
    shape = (len(truth), len(group))
    changes = generator.random(shape) < (gain + loss)[:, np.newaxis]
    upward = np.repeat((gain / (gain + loss))[:, np.newaxis], cell.groups, axis=1)
    if cell.correlation > 0:
        strength = 1 / cell.correlation - 1
        upward = generator.beta(np.maximum(strength * upward, 1e-9), np.maximum(strength * (1 - upward), 1e-9))
    return np.where(changes, np.where(generator.random(shape) < upward[:, group], 1, -1), 0).astype(np.int8)


def _count(point: RecipeCell, replicates: list[IntArray]) -> FloatArray:
    """The trials that tell anything; of these Improved, Regressed, NoDifference; and those that cover the truth."""
    cell, sizes = point.cell, point.cell.sizes.astype(np.float64)
    mean = np.mean(replicates, axis=0)
    changed = (group_sums(cell, mean != 0) > 0).sum(axis=1)
    effective = sizes.sum() ** 2 / (sizes**2).sum()
    told = (changed >= least_groups.MINIMUM_CHANGED_GROUPS) & (effective >= least_groups.MINIMUM_EFFECTIVE_GROUPS)
    over_examples = sign_flip.supported(group_sums(cell, mean).T, sizes, FLIPS).interval()
    deltas = np.array([each.mean(axis=1) for each in replicates]).T
    ends = [recipe.over_both(each, low, high) for each, low, high in zip(deltas, *over_examples, strict=True)]
    lows, highs = np.array(ends).T
    improved, regressed = lows > 0, highs < 0
    within = ~improved & ~regressed & (lows > -MARGIN) & (highs < MARGIN)
    covers = (lows <= cell.difference + 1e-9) & (highs >= cell.difference - 1e-9)
    return np.array([told.sum(), *((told & each).sum() for each in (improved, regressed, within, covers))], dtype=float)
