"""Replicates: what several seeds say of a recipe, and that few of them say nothing."""

from __future__ import annotations

import random
import statistics

import pytest
from findings_of import evaluation_of, small_suite
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.statistics.recipe import RecipeResult, judge_recipe, seed_interval

SUITE = small_suite("eps")
NEEDED = 5


def answers(seed: int, share: float) -> tuple[ScoredPrediction, ...]:
    """Of a training with this seed: right with that probability."""
    dice = random.Random(seed)
    right = [dice.random() < share for _ in range(120)]
    return tuple(evaluation_of(SUITE, f"seed-{seed}", lambda number: "1.5" if right[number] else "7").predictions)


def judged(*shares: float, base: float = 0.3) -> RecipeResult:
    replicates = {f"seed-{seed}": answers(seed, share) for seed, share in enumerate(shares, start=1)}
    return judge_recipe(SUITE.suite, answers(0, base), replicates)


def test_five_seeds_that_all_gain_improve() -> None:
    found = judged(*[0.8] * NEEDED)
    assert (found.verdict, found.reason) == (Verdict.IMPROVED, VerdictReason.INTERVAL_ABOVE_ZERO)
    assert 0 < found.low < found.difference < found.high and found.spread > 0


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_fewer_than_five_seeds_say_nothing_however_much_they_gain(seeds: int) -> None:
    found = judged(*[0.95] * seeds)
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, VerdictReason.INSUFFICIENT_DATA)
    assert found.seeds == seeds


def test_seeds_that_differ_much_make_no_improvement_of_a_mean_that_gains() -> None:
    """Over the examples alone the gain would be sure."""
    found = judged(0.95, 0.95, 0.95, 0.95, 0.0, 0.1)
    assert found.difference > 0.2 and found.low < 0
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_task_that_regressed_over_the_seeds_makes_no_improvement_of_a_mean_that_gains() -> None:
    suite = small_suite("eps", "revenue")
    heavy = suite.suite.tasks[0].model_copy(update={"weight": 10.0})
    weighted = suite.suite.model_copy(update={"tasks": (heavy, *suite.suite.tasks[1:])})

    def of(seed: int, eps: float, revenue: float) -> list[ScoredPrediction]:
        shares = {"eps": eps, "revenue": revenue}
        found = []
        for name, share in shares.items():
            dice = random.Random(f"{seed} {name}")
            right = [dice.random() < share for _ in range(120)]
            answered = evaluation_of(suite, "a", lambda number, right=right: "1.5" if right[number] else "7")  # type: ignore[misc]
            found += [each for each in answered.predictions if each.task == name]
        return found

    base = of(0, 0.2, 0.9)
    replicates = {f"seed-{seed}": of(seed, 0.9, 0.2) for seed in range(1, 6)}
    found = judge_recipe(weighted, base, replicates)
    assert found.low > 0
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, VerdictReason.TASK_REGRESSED)


def test_seeds_that_all_lose_regress() -> None:
    assert judged(*[0.2] * NEEDED, base=0.8).verdict is Verdict.REGRESSED


def test_equal_models_are_hardly_ever_improved() -> None:
    """In one of forty cases at most, but for the play of a hundred."""
    improved = 0
    for start in range(0, 1000, 10):
        replicates = {f"seed-{seed}": answers(seed, 0.5) for seed in range(start + 1, start + 6)}
        improved += judge_recipe(SUITE.suite, answers(start, 0.5), replicates).verdict is Verdict.IMPROVED
    assert improved <= 4


def test_whichever_order_replicates_come_in_they_say_the_same() -> None:
    replicates = {f"seed-{seed}": answers(seed, 0.6) for seed in range(1, 7)}
    backwards = dict(reversed(replicates.items()))
    base = answers(0, 0.3)
    assert judge_recipe(SUITE.suite, base, replicates) == judge_recipe(SUITE.suite, base, backwards)


def test_the_same_answers_of_every_seed_are_no_difference() -> None:
    same = answers(0, 0.5)
    found = judge_recipe(SUITE.suite, same, {f"seed-{seed}": same for seed in range(NEEDED)})
    assert found.verdict is not Verdict.IMPROVED and (found.difference, found.spread) == (0, 0)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8))
def test_the_interval_over_seeds_is_students(deltas: list[float]) -> None:
    low, high = seed_interval(deltas)
    mean = statistics.fmean(deltas)
    assert low - 1e-9 <= mean <= high + 1e-9
    assert mean - low == pytest.approx(high - mean, abs=1e-9)


def test_the_interval_over_seeds_agrees_with_a_published_example() -> None:
    """Student's t with 4 degrees of freedom: 2.776."""
    low, high = seed_interval([0.1, 0.2, 0.3, 0.4, 0.5])
    deviation = statistics.stdev([0.1, 0.2, 0.3, 0.4, 0.5]) / 5**0.5
    assert (low, high) == pytest.approx((0.3 - 2.7764 * deviation, 0.3 + 2.7764 * deviation))


def test_the_interval_over_seeds_covers_the_truth_in_nineteen_of_twenty_cases() -> None:
    dice = random.Random(3)
    for seeds in (2, 5, 8):
        held = 0
        for _ in range(2000):
            low, high = seed_interval([dice.gauss(0.1, 0.05) for _ in range(seeds)])
            held += low <= 0.1 <= high
        assert 0.935 <= held / 2000 <= 0.965
