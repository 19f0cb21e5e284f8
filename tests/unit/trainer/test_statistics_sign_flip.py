"""Sign flips of whole groups: the closed form against enumeration, and what p value and interval owe each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.statistics import inference, sign_flip
from finetune_trainer.statistics.inference import Grouping, Sample
from finetune_trainer.statistics.sign_flip import FloatArray, SignFlip

scores = st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])
few_groups = st.lists(st.tuples(scores, st.integers(1, 5)), min_size=2, max_size=9)
many_groups = st.lists(st.tuples(scores, st.integers(1, 5)), min_size=14, max_size=40)


def arrays(groups: list[tuple[float, int]]) -> tuple[FloatArray, FloatArray]:
    """Each group's sum and size, from its mean difference and size."""
    sizes = np.array([float(size) for _, size in groups])
    return np.array([mean for mean, _ in groups]) * sizes, sizes


def enumerated_p(sums: FloatArray, sizes: FloatArray, supposed: float) -> float:
    """The p value by trying every combination of signs."""
    terms = sums - sizes * supposed
    signs = np.array(list(itertools.product([1.0, -1.0], repeat=len(terms))))
    return float(np.mean(np.abs(signs @ terms) >= abs(terms.sum()) - 1e-9))


def flip(groups: list[tuple[float, int]]) -> SignFlip:
    return sign_flip.sign_flip(*arrays(groups))


@settings(deadline=None)
@given(few_groups)
def test_the_p_value_is_that_of_every_combination_of_signs(groups: list[tuple[float, int]]) -> None:
    assert flip(groups).p == pytest.approx(enumerated_p(*arrays(groups), supposed=0.0))


@settings(deadline=None)
@given(few_groups)
def test_the_interval_ends_where_the_p_value_falls_below_five_percent(groups: list[tuple[float, int]]) -> None:
    sums, sizes = arrays(groups)
    found = sign_flip.sign_flip(sums, sizes)
    for end, outward in ((found.low, -1), (found.high, 1)):
        if np.isfinite(end):
            assert enumerated_p(sums, sizes, end) >= 0.05
            assert enumerated_p(sums, sizes, end + outward * 1e-6) < 0.05


@settings(deadline=None)
@given(st.one_of(few_groups, many_groups))
def test_p_is_below_five_percent_exactly_when_the_interval_leaves_zero_out(groups: list[tuple[float, int]]) -> None:
    found = flip(groups)
    assert (found.p < 0.05) == (not found.low <= 0 <= found.high)


@settings(deadline=None)
@given(st.one_of(few_groups, many_groups))
def test_swapping_the_models_mirrors_the_interval(groups: list[tuple[float, int]]) -> None:
    found, swapped = flip(groups), flip([(-mean, size) for mean, size in groups])
    assert (swapped.low, swapped.high, swapped.p) == (-found.high, -found.low, found.p)


@settings(deadline=None)
@given(many_groups)
def test_the_estimate_lies_in_the_interval_and_p_is_never_zero(groups: list[tuple[float, int]]) -> None:
    found = flip(groups)
    assert found.low - 1e-9 <= found.estimate <= found.high + 1e-9
    assert found.p >= 1 / sign_flip.FLIPS
    assert (found.flips, found.exact) == (sign_flip.FLIPS, False)


def test_all_flips_are_taken_for_few_groups_and_half_of_them_suffice() -> None:
    found = flip([(1.0, 1)] * 13)
    assert found.exact
    assert found.p == 1 / 2**12


def test_the_data_as_they_are_count_as_one_of_the_random_flips() -> None:
    assert flip([(1.0, 1)] * 60).p == 1 / sign_flip.FLIPS


def test_too_few_groups_exclude_nothing() -> None:
    found = flip([(1.0, 40)] * 4)
    assert (found.low, found.high, found.p) == (-np.inf, np.inf, 1 / 8)


def test_random_flips_agree_with_all_flips() -> None:
    generator = np.random.default_rng(5)
    sums, sizes = generator.normal(0.4, 1.0, 13), np.ones(13)
    exact = sign_flip.sign_flip(sums, sizes)
    doubled = sign_flip.sign_flip(np.append(sums, 0.0), np.append(sizes, 1e-9))
    assert (exact.exact, doubled.exact) == (True, False)
    assert doubled.p == pytest.approx(exact.p, abs=0.01)
    assert (doubled.low, doubled.high) == pytest.approx((exact.low, exact.high), abs=0.05)


def test_the_same_data_give_the_same_figures_again() -> None:
    groups = [(0.5, 2), (-1.0, 3)] * 15
    assert flip(groups) == flip(groups)


def a_sample(differences: list[float], groups: list[str], patterns: list[str] | None = None) -> Sample:
    return Sample(
        np.array(differences), np.ones(len(differences)), tuple(groups), None if patterns is None else tuple(patterns)
    )


def test_the_grouping_that_leaves_more_doubt_is_the_one_that_counts() -> None:
    differences = [1.0 if number % 4 == 0 else 0.0 for number in range(160)]
    by_company = [f"c{number // 4}" for number in range(160)]
    by_pattern = [f"p{number % 40}" for number in range(160)]
    sample = a_sample(differences, by_company, by_pattern)
    found = inference.infer(sample, (-1.0, 1.0))
    alone = inference.infer(a_sample(differences, by_company), (-1.0, 1.0))
    assert (alone.grouping, found.grouping) == (Grouping.GROUP, Grouping.PATTERN)
    assert found.high - found.low > alone.high - alone.low
    assert found.p > alone.p
    assert (found.groups, found.changed_groups) == (40, 10)


def test_effective_groups_shrink_when_one_group_dominates() -> None:
    groups = ["big"] * 60 + [f"g{number}" for number in range(40)]
    found = inference.infer(a_sample([0.0] * 100, groups), (-1.0, 1.0))
    assert found.effective_groups == pytest.approx(100**2 / (60**2 + 40))
    assert not found.is_sufficient


def test_few_companies_are_too_few_however_many_patterns_there_are() -> None:
    company = [number % 12 for number in range(480)]
    pattern = [number // 12 for number in range(480)]
    differences = [1.0 if pattern[number] % 2 else 0.0 for number in range(480)]
    sample = a_sample(differences, [f"c{each}" for each in company], [f"p{each}" for each in pattern])
    found = inference.infer(sample, (-1.0, 1.0))
    assert (found.grouping, found.groups) == (Grouping.PATTERN, 40)
    assert (found.effective_groups, found.changed_groups) == (pytest.approx(12), 12)
    assert not found.is_sufficient


def test_an_interval_ends_where_no_difference_can_be() -> None:
    found = inference.infer(a_sample([1.0] * 3, ["a", "b", "c"]), (-1.0, 1.0))
    assert (found.low, found.high) == (-1.0, 1.0)
