"""The rules of the verdict one by one, Holm's adjustment, and the size of effect that a comparison can find."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer.statistics import power, verdict
from finetune_trainer.statistics.holm import holm
from finetune_trainer.statistics.inference import Grouping, Inference
from finetune_trainer.suites import model

ENOUGH = Inference(
    estimate=0.0,
    low=0.0,
    high=0.0,
    p=1.0,
    grouping=Grouping.GROUP,
    groups=40,
    effective_groups=40.0,
    changed_groups=20,
    flips=10_000,
    exact=False,
)


def evidence(
    low: float,
    high: float,
    p_holm: float | None = 0.01,
    identical: bool = False,
    regressed: tuple[str, ...] = (),
    effective: float = 40.0,
    changed: int = 20,
) -> verdict.Evidence:
    p = 1.0 if low <= 0 <= high else 0.01
    found = replace(ENOUGH, low=low, high=high, p=p, effective_groups=effective, changed_groups=changed)
    return verdict.Evidence(identical, found, margin=0.03, p_holm=p_holm, regressed_tasks=regressed)


TABLE = [
    ("identical", evidence(0, 0, identical=True, effective=3, changed=0), "NoDifference", "Identical"),
    ("few groups", evidence(0.1, 0.2, effective=19.9), "Inconclusive", "InsufficientData"),
    ("twenty groups", evidence(0.1, 0.2, effective=20.0), "Improved", "IntervalAboveZero"),
    ("few changes", evidence(-0.01, 0.01, changed=9), "Inconclusive", "InsufficientData"),
    ("ten changes", evidence(-0.01, 0.01, changed=10), "NoDifference", "IntervalWithinMargin"),
    ("better", evidence(0.01, 0.2), "Improved", "IntervalAboveZero"),
    ("worse", evidence(-0.2, -0.01), "Regressed", "IntervalBelowZero"),
    ("a little better for sure", evidence(0.001, 0.02), "Improved", "IntervalAboveZero"),
    ("touching zero", evidence(0.0, 0.2), "Inconclusive", "IntervalTooWide"),
    ("within the margin", evidence(-0.029, 0.029), "NoDifference", "IntervalWithinMargin"),
    ("at the margin", evidence(-0.03, 0.02), "Inconclusive", "IntervalTooWide"),
    ("wide", evidence(-0.1, 0.1), "Inconclusive", "IntervalTooWide"),
    ("lost to Holm", evidence(0.01, 0.2, p_holm=0.06), "Inconclusive", "NotSignificantAfterHolm"),
    ("worse, lost to Holm", evidence(-0.2, -0.01, p_holm=0.05), "Inconclusive", "NotSignificantAfterHolm"),
    ("lost to Holm but small", evidence(0.001, 0.02, p_holm=0.06), "NoDifference", "IntervalWithinMargin"),
    ("outside Holm", evidence(0.01, 0.2, p_holm=None), "Improved", "IntervalAboveZero"),
    ("a task got worse", evidence(0.01, 0.2, p_holm=None, regressed=("EPS",)), "Inconclusive", "TaskRegressed"),
    ("all got worse", evidence(-0.2, -0.1, p_holm=None, regressed=("EPS",)), "Regressed", "IntervalBelowZero"),
    ("a task, no gain", evidence(-0.01, 0.01, p_holm=None, regressed=("EPS",)), "NoDifference", "IntervalWithinMargin"),
]


@pytest.mark.parametrize(("given_evidence", "word", "reason"), [pytest.param(*row[1:], id=row[0]) for row in TABLE])
def test_the_verdict_follows_the_rules_in_their_order(given_evidence: verdict.Evidence, word: str, reason: str) -> None:
    finding = verdict.judge(given_evidence)
    assert (finding.verdict, finding.reason) == (Verdict(word), VerdictReason(reason))
    assert finding.message


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_swapping_the_models_mirrors_the_verdict(low: float, width: float, p_holm: float) -> None:
    mirror = {Verdict.IMPROVED: Verdict.REGRESSED, Verdict.REGRESSED: Verdict.IMPROVED}
    one = verdict.judge(evidence(low, low + width, p_holm)).verdict
    other = verdict.judge(evidence(-low - width, -low, p_holm)).verdict
    assert other == mirror.get(one, one)


def test_holm_multiplies_by_the_tests_that_are_left() -> None:
    assert holm({"a": 0.03, "b": 0.01, "c": 0.04}) == pytest.approx({"b": 0.03, "a": 0.06, "c": 0.06})
    assert holm({"a": 0.6, "b": 0.5}) == {"a": 1.0, "b": 1.0}


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1))
def test_holm_keeps_the_order_and_never_helps(p_values: dict[str, float]) -> None:
    adjusted = holm(p_values)
    assert all(p_values[name] <= adjusted[name] <= 1 for name in p_values)
    ranked = sorted(p_values, key=lambda name: p_values[name])
    assert [adjusted[name] for name in ranked] == sorted(adjusted.values())


@pytest.mark.parametrize(("examples", "points"), [(200, 8.9), (800, 4.4), (2400, 2.6)])
def test_the_detectable_effect_is_the_documented_one(examples: int, points: float) -> None:
    assert round(100 * power.minimum_detectable_effect(examples), 1) == points


def test_examples_that_depend_on_each_other_detect_less() -> None:
    independent = power.minimum_detectable_effect(600)
    assert power.minimum_detectable_effect(600, design_effect=4.0) == pytest.approx(2 * independent)
    assert power.minimum_detectable_effect(150) == pytest.approx(2 * independent)


def a_suite(*weights: float, groups: int = 200, per_group: int = 1, patterns: int = 0) -> model.LoadedSuite:
    scorer = {"kind": "growth"}
    tasks = [
        {"name": f"t{number}", "title": "t", "scorer": scorer, "weight": weight, "examples": "e.jsonl"}
        for number, weight in enumerate(weights)
    ]
    suite = model.Suite.model_validate({"name": "s", "version": "1", "title": "s", "tasks": tasks})
    return model.LoadedSuite(
        suite, {task.name: examples(task.name, groups, per_group, patterns) for task in suite.tasks}
    )


def examples(task: str, groups: int, per_group: int, patterns: int) -> tuple[model.Example, ...]:
    return tuple(
        model.Example(
            id=f"{task}-{number}",
            task=task,
            group=f"{task} company {number % groups}",
            pattern=f"p{number % patterns}" if patterns else None,
            prompt="?",
        )
        for number in range(groups * per_group)
    )


def test_the_overall_effect_follows_the_weights() -> None:
    assert power.overall_effect(a_suite(1, 1, 1)) == pytest.approx(power.minimum_detectable_effect(600, groups=600))
    lopsided = power.overall_effect(a_suite(1000, 1, 1))
    assert lopsided == pytest.approx(power.minimum_detectable_effect(200, groups=200), rel=0.01)


def test_examples_of_one_company_are_supposed_to_hang_together() -> None:
    alone, fours = a_suite(1, groups=200), a_suite(1, groups=50, per_group=4)
    effect = power.minimum_detectable_effect(200, design_effect=1 + 3 * power.CORRELATION, groups=50)
    assert power.weakest_task_effect(fours) == pytest.approx(effect)
    assert power.overall_effect(fours) == pytest.approx(effect)
    assert power.weakest_task_effect(fours) > power.weakest_task_effect(alone)


def test_patterns_that_repeat_detect_less_still() -> None:
    assert power.weakest_task_effect(a_suite(1, patterns=25)) > power.weakest_task_effect(a_suite(1))


def test_too_few_companies_detect_nothing_however_much_they_are_asked() -> None:
    assert power.weakest_task_effect(a_suite(1, groups=19, per_group=1000)) == 1.0
    assert power.overall_effect(a_suite(1, groups=19, per_group=1000)) == 1.0


def test_a_difference_takes_as_many_changed_answers() -> None:
    """The usual 20% of changed answers cannot hold a difference of 40 points."""
    effect = power.minimum_detectable_effect(20)
    assert effect > power.CHANGED
    assert effect == power.minimum_detectable_effect(20, changed=0.01)


@pytest.mark.parametrize(("freedom", "quantile"), [(19, 2.0930), (39, 2.0227), (79, 1.9905)])
def test_few_groups_are_judged_by_students_distribution(freedom: int, quantile: float) -> None:
    """The quantiles are those of printed tables, for 97.5%."""
    normal, power_normal = 1.95996, 0.84162
    found = power.minimum_detectable_effect(1000, groups=freedom + 1) / power.minimum_detectable_effect(1000)
    power_quantile = found * (normal + power_normal) - quantile
    assert power_normal < power_quantile < power_normal * quantile / normal


def test_nothing_detects_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        power.minimum_detectable_effect(0)
