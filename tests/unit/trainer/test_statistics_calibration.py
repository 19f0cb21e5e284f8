"""How often a verdict is wrong, in a few cells of the grid that docs/calibration.md holds whole."""

from __future__ import annotations

import math

import numpy as np
import pytest

from finetune_trainer.statistics import power
from finetune_trainer.statistics.sign_flip import FloatArray
from known_truth import MARGIN, Cell, Dependence, Rates, draw, group_sums, simulate
from recipe_truth import RecipeCell, simulate_recipe

TRIALS = 1_500
SPREAD = 0.006
"""Two standard errors and a little of a rate of 1.25% to 2.5%, which are no reason to fail."""
EQUAL = [
    Cell(0.0, 40, skewed=False, churn=0.02, difference=0.0),
    Cell(0.3, 20, skewed=False, churn=0.2, difference=0.0),
    Cell(0.3, 40, skewed=True, churn=0.2, difference=0.0, dependence=Dependence.WHOLE),
    Cell(0.3, 80, skewed=True, churn=0.2, difference=0.0),
]
DIFFERENT = [
    Cell(0.0, 40, skewed=False, churn=0.02, difference=MARGIN),
    Cell(0.3, 20, skewed=False, churn=0.2, difference=MARGIN, dependence=Dependence.WHOLE),
    Cell(0.3, 80, skewed=True, churn=0.02, difference=MARGIN),
]
RECIPES = [
    RecipeCell(Cell(0.3, 20, skewed=False, churn=0.02, difference=0.0), seeds=8, spread=0.015),
    RecipeCell(Cell(0.3, 80, skewed=True, churn=0.2, difference=0.0), seeds=8, spread=0.03),
    RecipeCell(Cell(0.3, 80, skewed=False, churn=0.02, difference=0.0), seeds=5, spread=0.03),
    RecipeCell(Cell(0.0, 40, skewed=True, churn=0.2, difference=0.0), seeds=8, spread=0.015),
]
TWENTY_GROUPS = Cell(0.3, 20, skewed=False, churn=0.2, difference=0.0, dependence=Dependence.WHOLE)


@pytest.mark.parametrize("cell", EQUAL, ids=str)
def test_equal_models_are_rarely_told_apart_although_companies_cluster(cell: Cell) -> None:
    found = simulate(cell, TRIALS, seed=1)
    assert max(found.improved, found.regressed) <= 0.032 + SPREAD
    assert found.improved + found.regressed <= 0.060 + SPREAD
    assert found.coverage is not None and found.coverage >= 0.925


@pytest.mark.parametrize("cell", DIFFERENT, ids=str)
def test_a_difference_of_the_margin_is_rarely_called_none(cell: Cell) -> None:
    found = simulate(cell, TRIALS, seed=2)
    assert found.no_difference <= 0.032 + SPREAD
    assert found.regressed <= 0.032
    assert found.coverage is not None and found.coverage >= 0.925


@pytest.mark.parametrize("point", RECIPES, ids=str)
def test_a_recipe_that_is_no_better_is_rarely_told_apart_although_its_seeds_differ(point: RecipeCell) -> None:
    """In these the doubt about the examples and the one about the seeds are about alike."""
    found = simulate_recipe(point, TRIALS, seed=6)
    assert max(found.improved, found.regressed) <= 0.032
    assert found.improved + found.regressed <= 0.060
    assert found.coverage is not None and found.coverage >= 0.945


def test_a_recipe_that_is_better_by_the_margin_is_found_where_its_seeds_agree() -> None:
    point = RecipeCell(Cell(0.3, 80, skewed=False, churn=0.02, difference=MARGIN), seeds=5, spread=0.0)
    found = simulate_recipe(point, TRIALS, seed=7)
    assert found.improved >= 0.95 and found.no_difference <= 0.032


def test_the_printed_effect_is_found_in_four_cases_of_five() -> None:
    assert found_at_the_printed_effect(0.3, Dependence.WHOLE).improved >= 0.80


def test_independent_examples_find_the_printed_effect_all_the_more() -> None:
    assert found_at_the_printed_effect(0.0, Dependence.DIRECTION).improved >= 0.95


def found_at_the_printed_effect(correlation: float, dependence: Dependence) -> Rates:
    shape = Cell(correlation, 40, skewed=False, churn=0.0, difference=0.0)
    effect = power.effect_of_groups([int(size) for size in shape.sizes])
    return simulate(Cell(correlation, 40, False, power.CHANGED - effect, effect, dependence), TRIALS, seed=3)


def test_the_simulated_answers_would_fool_mcnemar() -> None:
    """Without this the tests above could pass on answers that do not cluster at all."""
    differences = draw(TWENTY_GROUPS, TRIALS, np.random.default_rng(4))
    gained, lost = (differences > 0).sum(axis=1), (differences < 0).sum(axis=1)
    rejected = [mcnemar_rejects(int(up), int(down)) for up, down in zip(gained, lost, strict=True)]
    assert np.mean(rejected) > 0.2


def mcnemar_rejects(gained: int, lost: int) -> bool:
    fewer = sum(math.comb(gained + lost, count) for count in range(min(gained, lost) + 1))
    return 2 * fewer / 2 ** (gained + lost) < 0.05


def test_the_simulated_answers_would_fool_a_percentile_bootstrap() -> None:
    generator = np.random.default_rng(5)
    sums = group_sums(TWENTY_GROUPS, draw(TWENTY_GROUPS, TRIALS, generator))
    assert np.mean([bootstrap_rejects(each, generator) for each in sums]) > 0.060 + SPREAD


def bootstrap_rejects(sums: FloatArray, generator: np.random.Generator) -> bool:
    """Whether the middle 95% of the means of groups that are drawn again leave zero out."""
    means = generator.choice(sums, size=(999, len(sums))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return bool(low > 0 or high < 0)
