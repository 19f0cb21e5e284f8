"""From predictions to the verdict: pairing, tasks, overall, perplexity, gates, and what can be written down."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.statistics import comparison
from finetune_trainer.statistics.gates import GatePolicy
from finetune_trainer.statistics.inference import Grouping
from finetune_trainer.statistics.pairing import PairingError
from finetune_trainer.statistics.results import ComparisonResult
from finetune_trainer.suites import model

TASKS = ("eps", "mood")
GROUPS = 30
PER_GROUP = 4

ScoreOf = Callable[[str, int], float | None]
"""The score of a task's example by its number; None is an answer that could not be read."""


def a_suite(**weights: float) -> model.Suite:
    growth, perplexity = {"kind": "growth"}, {"kind": "perplexity", "marginNatsPerByte": 0.02}
    tasks: list[dict[str, Any]] = [
        {"name": name, "title": name, "scorer": growth, "weight": weights.get(name, 1), "examples": "e.jsonl"}
        for name in TASKS
    ]
    tasks.append({"name": "texts", "title": "texts", "scorer": perplexity, "examples": "t.jsonl"})
    return model.Suite.model_validate({"name": "small", "version": "7", "title": "Small", "tasks": tasks})


def an_answer(task: str, number: int, score: float | None) -> ScoredPrediction:
    return ScoredPrediction(
        id=f"{task}-{number:04d}",
        task=task,
        group=f"company {number % GROUPS}",
        prediction=f"scores {score}",
        score=score or 0.0,
        parsed=score is not None,
    )


def a_text(number: int, nats: float, size: int = 100) -> ScoredPrediction:
    group = f"company {number % GROUPS}"
    return ScoredPrediction(
        id=f"text-{number:04d}", task="texts", group=group, negative_log_likelihood=nats, utf8_bytes=size
    )


def texts(change: float = 0.0) -> list[ScoredPrediction]:
    """Sixty texts; the change is per byte, a little different in each group."""
    return [a_text(number, 70 + 100 * change * (0.9 + 0.2 * (number % GROUPS) / GROUPS)) for number in range(60)]


def predictions(score_of: ScoreOf, change: float = 0.0) -> list[ScoredPrediction]:
    answers = [
        an_answer(task, number, score_of(task, number)) for task in TASKS for number in range(GROUPS * PER_GROUP)
    ]
    return answers + texts(change)


def every_third(task: str, number: int) -> float:
    return float(hash_of(task, number) % 3 == 0)


def hash_of(task: str, number: int) -> int:
    return random.Random(f"{task} {number}").randrange(10_000)


def most(task: str, number: int) -> float:
    return float(hash_of(task, number) % 5 != 0)


def better_at_eps_worse_at_mood(task: str, number: int) -> float:
    return 1.0 if task == "eps" else 0.0


def zero(task: str, number: int) -> float:
    return 0.0


def compare(
    base: ScoreOf, tuned: ScoreOf, policy: GatePolicy | None = None, change: float = 0.0, **weights: float
) -> ComparisonResult:
    return comparison.compare_scores(predictions(base), predictions(tuned, change), a_suite(**weights), policy)


def test_a_model_that_is_better_everywhere_has_improved() -> None:
    result = compare(every_third, most)
    assert (result.verdict, result.reason) == (Verdict.IMPROVED, VerdictReason.INTERVAL_ABOVE_ZERO)
    assert {task.verdict for task in result.tasks} == {Verdict.IMPROVED}
    for task in (*result.tasks, result.overall):
        assert task.inference.low < task.difference < task.inference.high
        assert task.difference == pytest.approx(task.tuned - task.base)
        assert task.relative_percent == pytest.approx(100 * task.difference / task.base)


def test_a_model_that_is_worse_everywhere_has_regressed() -> None:
    assert compare(most, every_third).verdict is Verdict.REGRESSED


def test_the_same_answers_are_identical() -> None:
    result = compare(most, most)
    assert (result.verdict, result.reason) == (Verdict.NO_DIFFERENCE, VerdictReason.IDENTICAL)
    assert {task.reason for task in result.tasks} == {VerdictReason.IDENTICAL}
    assert result.guardrails[0].reason is VerdictReason.IDENTICAL
    assert (result.overall.inference.low, result.overall.inference.high, result.overall.inference.p) == (0, 0, 1)


def test_other_words_with_the_same_scores_are_not_called_identical() -> None:
    other = [each.model_copy(update={"prediction": "other"}) for each in predictions(most) if each.task != "texts"]
    result = comparison.compare_scores(predictions(most), other + texts(), a_suite())
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, VerdictReason.INSUFFICIENT_DATA)


def test_a_task_that_regressed_takes_the_improvement_back() -> None:
    result = compare(every_third, better_at_eps_worse_at_mood, eps=2)
    assert [task.verdict for task in result.tasks] == [Verdict.IMPROVED, Verdict.REGRESSED]
    assert result.overall.inference.low > 0
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, VerdictReason.TASK_REGRESSED)
    assert "mood" in result.overall.message


def test_the_overall_score_is_the_weighted_mean_of_the_tasks() -> None:
    result = compare(every_third, better_at_eps_worse_at_mood, eps=3)
    eps, mood = result.tasks
    assert result.overall.base == pytest.approx((3 * eps.base + mood.base) / 4)
    assert result.overall.tuned == pytest.approx((3 * eps.tuned + mood.tuned) / 4)
    assert result.overall.difference == pytest.approx(0.75 * eps.difference + 0.25 * mood.difference)
    assert result.overall.p_holm is None


def test_the_weights_hold_when_one_task_has_more_examples() -> None:
    def thinned(score_of: ScoreOf) -> list[ScoredPrediction]:
        return [each for each in predictions(score_of) if each.task != "mood" or int(each.id[-4:]) % 2 == 0]

    result = comparison.compare_scores(thinned(every_third), thinned(most), a_suite())
    eps, mood = result.tasks
    assert (eps.examples, mood.examples, result.overall.examples) == (120, 60, 180)
    assert result.overall.difference == pytest.approx((eps.difference + mood.difference) / 2)


def test_groups_move_together_over_all_tasks() -> None:
    """When both tasks repeat each other, the second adds no certainty; apart, it would."""

    def twice(score_of: ScoreOf) -> list[ScoredPrediction]:
        return predictions(lambda _task, number: score_of("eps", number))

    result = comparison.compare_scores(twice(every_third), twice(most), a_suite())
    eps = result.tasks[0].inference
    overall = result.overall.inference
    assert (overall.low, overall.high, overall.p) == pytest.approx((eps.low, eps.high, eps.p))


def test_the_order_of_the_predictions_does_not_matter() -> None:
    base, tuned = predictions(every_third), predictions(most, change=0.01)
    mixed = random.Random(3).sample(base, len(base)), random.Random(4).sample(tuned, len(tuned))
    assert comparison.compare_scores(*mixed, a_suite()) == comparison.compare_scores(base, tuned, a_suite())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_swapping_the_models_mirrors_every_interval(one: int, other: int) -> None:
    def random_scores(seed: int) -> ScoreOf:
        return lambda task, number: random.Random(f"{seed} {task} {number}").choice((None, 0.0, 0.5, 1.0))

    mirror = {Verdict.IMPROVED: Verdict.REGRESSED, Verdict.REGRESSED: Verdict.IMPROVED}
    found, swapped = (
        compare(random_scores(one), random_scores(other)),
        compare(random_scores(other), random_scores(one)),
    )
    for left, right in zip((*found.tasks, found.overall), (*swapped.tasks, swapped.overall), strict=True):
        assert (right.inference.low, right.inference.high) == (-left.inference.high, -left.inference.low)
        assert right.inference.p == left.inference.p
        assert right.verdict == mirror.get(left.verdict, left.verdict)
        assert (left.inference.p < 0.05) == (not left.inference.low <= 0 <= left.inference.high)


def test_the_difference_is_split_into_readable_and_right() -> None:
    def half_unreadable(task: str, number: int) -> float | None:
        return None if number % 2 else every_third(task, number)

    result = compare(half_unreadable, most)
    for task in (*result.tasks, result.overall):
        split = task.parse_split
        assert split.became_parsable + split.became_right == pytest.approx(task.difference)
    eps = result.tasks[0]
    odd_gain = sum(most("eps", number) for number in range(1, 120, 2)) / 120
    assert eps.parse_split.became_parsable == pytest.approx(odd_gain)
    assert (eps.base_unparsable, eps.tuned_unparsable, result.overall.base_unparsable) == (60, 0, 120)


def test_one_answer_turned_unreadable_counts_as_lost() -> None:
    result = compare(most, lambda task, number: None if number < 60 else most(task, number))
    assert result.tasks[0].parse_split.became_right == 0
    assert result.tasks[0].parse_split.became_parsable == pytest.approx(result.tasks[0].difference)


def test_mcnemar_is_shown_only_where_every_group_has_one_example() -> None:
    assert {task.mcnemar_p for task in compare(every_third, most).tasks} == {None}
    base = [an_answer(task, number, float(number < 5)) for task in TASKS for number in range(GROUPS)] + texts()
    tuned = [an_answer(task, number, float(5 <= number < 20)) for task in TASKS for number in range(GROUPS)] + texts()
    result = comparison.compare_scores(base, tuned, a_suite())
    assert result.tasks[0].mcnemar_p == pytest.approx(2 * sum((1, 20, 190, 1140, 4845, 15504)) / 2**20)


def test_mcnemar_is_not_shown_where_patterns_repeat() -> None:
    def of_two_patterns(score_of: ScoreOf) -> list[ScoredPrediction]:
        answers = [an_answer(task, number, score_of(task, number)) for task in TASKS for number in range(GROUPS)]
        return [each.model_copy(update={"pattern": f"p{int(each.id[-4:]) % 2}"}) for each in answers] + texts()

    result = comparison.compare_scores(of_two_patterns(every_third), of_two_patterns(most), a_suite())
    assert {task.mcnemar_p for task in result.tasks} == {None}


def test_patterns_widen_the_interval_where_they_repeat() -> None:
    def with_patterns(score_of: ScoreOf) -> list[ScoredPrediction]:
        patterned = [
            each.model_copy(update={"pattern": f"p{int(each.id[-4:]) // 5}"}) for each in predictions(score_of)
        ]
        return [each for each in patterned if each.task != "texts"] + texts()

    def by_pattern(task: str, number: int) -> float:
        return float(hash_of("pattern", number // 5) % 2)

    plain, patterned = (
        comparison.compare_scores(make(zero), make(by_pattern), a_suite()) for make in (predictions, with_patterns)
    )
    for alone, both in zip((*plain.tasks, plain.overall), (*patterned.tasks, patterned.overall), strict=True):
        assert (alone.inference.grouping, both.inference.grouping) == (Grouping.GROUP, Grouping.PATTERN)
        assert both.inference.low < alone.inference.low
    assert (patterned.tasks[0].inference.groups, patterned.overall.inference.groups) == (24, 48)


@pytest.mark.parametrize(
    ("change", "word", "held"),
    [(-0.1, Verdict.IMPROVED, True), (0.01, Verdict.REGRESSED, True), (0.1, Verdict.REGRESSED, False)],
)
def test_perplexity_is_a_guardrail_with_a_margin_and_not_a_score(change: float, word: Verdict, held: bool) -> None:
    result = compare(every_third, most, change=change)
    guardrail = result.guardrails[0]
    assert (guardrail.verdict, guardrail.held, guardrail.documents) == (word, held, GROUPS)
    assert guardrail.inference.estimate == pytest.approx(guardrail.base - guardrail.tuned)
    assert guardrail.base == pytest.approx(0.7)
    assert result.verdict is Verdict.IMPROVED
    assert [task.name for task in result.tasks] == list(TASKS)


def test_longer_texts_count_for_more_in_perplexity() -> None:
    def sized(change: float) -> list[ScoredPrediction]:
        return [a_text(number, 70 + (number % 2) * 900 * change, 100 + 800 * (number % 2)) for number in range(60)]

    answers = [each for each in predictions(most) if each.task != "texts"]
    result = comparison.compare_scores(answers + sized(0), answers + sized(0.1), a_suite())
    assert result.guardrails[0].inference.estimate == pytest.approx(-0.1 * 900 / 1000)


def gates(base: ScoreOf, tuned: ScoreOf, policy: GatePolicy, change: float = 0.0) -> dict[str, bool]:
    return {gate.name: gate.passed for gate in compare(base, tuned, policy, change).gates}


def at_least(percent: str) -> GatePolicy:
    return GatePolicy(Decimal(percent), must_not_regress=())


def test_the_minimum_improvement_passes_only_when_it_is_sure() -> None:
    overall = compare(every_third, most).overall
    assert overall.relative_percent is not None
    for sure in ("0", "10", "80"):
        assert gates(every_third, most, at_least(sure)) == {"minImprovementPercent": True}
    barely_below = Decimal(round(overall.relative_percent - 1))
    assert gates(every_third, most, GatePolicy(barely_below, ())) == {"minImprovementPercent": False}
    assert gates(most, most, at_least("0")) == {"minImprovementPercent": False}


def test_a_base_of_zero_has_no_percentage_and_the_gate_takes_points() -> None:
    result = compare(zero, most, at_least("50"))
    assert result.overall.relative_percent is None
    assert (result.gates_passed, "points" in result.gates[0].message) == (True, True)
    assert compare(zero, most, at_least("95")).gates_passed is False


def test_must_not_regress_takes_every_task_unless_told_otherwise() -> None:
    passed = gates(every_third, better_at_eps_worse_at_mood, GatePolicy())
    assert passed == {"mustNotRegress: eps": True, "mustNotRegress: mood": False, "mustNotRegress: texts": True}
    assert gates(every_third, most, GatePolicy(must_not_regress=("mood",))) == {"mustNotRegress: mood": True}
    assert gates(every_third, most, GatePolicy(), change=0.1)["mustNotRegress: texts"] is False


def test_doubt_fails_the_gate() -> None:
    def few_changes(task: str, number: int) -> float:
        return 1.0 if number % GROUPS < 5 else most(task, number)

    def noisy(task: str, number: int) -> float:
        return float(random.Random(f"other {task} {number}").random() < 0.8)

    assert set(gates(most, few_changes, GatePolicy(must_not_regress=TASKS)).values()) == {False}
    assert compare(most, noisy).reason is VerdictReason.INTERVAL_TOO_WIDE
    assert set(gates(most, noisy, GatePolicy(must_not_regress=TASKS)).values()) == {False}
    assert set(gates(most, most, GatePolicy()).values()) == {True}


def test_the_same_answers_are_no_improvement_and_no_lack_of_data() -> None:
    gate = compare(most, most, at_least("0")).gates[0]
    assert (gate.passed, gate.message) == (False, "no improvement: both models gave the same answers, byte for byte")


def test_a_gate_on_an_unknown_task_or_percentage_is_refused() -> None:
    with pytest.raises(model.SuiteError, match="no task 'sentiment'"):
        compare(most, most, GatePolicy(must_not_regress=("sentiment",)))
    for percent in ("-1", "NaN", "Infinity"):
        with pytest.raises(ValueError, match=r"gate\.minImprovementPercent"):
            GatePolicy(Decimal(percent))


def test_without_a_policy_there_are_no_gates() -> None:
    result = compare(most, every_third)
    assert (result.gates, result.gates_passed) == ((), True)


def without(task: str) -> list[ScoredPrediction]:
    return [each for each in predictions(most) if each.task != task]


BAD_PAIRS: list[tuple[str, Sequence[ScoredPrediction], str]] = [
    ("a missing task", without("mood"), "mood: the tuned model has no predictions"),
    ("a missing example", predictions(most)[1:], "eps: 1 examples were answered by the base model only.*'eps-0000'"),
    ("an extra example", [*predictions(most), an_answer("eps", 999, 1.0)], "by the tuned model only.*'eps-0999'"),
    (
        "an example twice",
        [*predictions(most), an_answer("eps", 1, 1.0)],
        "eps: the tuned model answered an example twice",
    ),
    (
        "another group",
        [each.model_copy(update={"group": "x"}) if each.id == "eps-0003" else each for each in predictions(most)],
        "eps: 'eps-0003' has two groups",
    ),
    (
        "other bytes",
        [*without("texts"), *(each.model_copy(update={"utf8_bytes": 99}) for each in texts())],
        "texts: 'text-0000' was measured over other bytes",
    ),
    (
        "answers for texts",
        [*without("texts"), *(an_answer("texts", number, 1.0) for number in range(60))],
        "texts: the tuned model's predictions are not likelihoods",
    ),
]


@pytest.mark.parametrize(("tuned", "message"), [pytest.param(*bad[1:], id=bad[0]) for bad in BAD_PAIRS])
def test_predictions_that_do_not_pair_are_refused(tuned: Sequence[ScoredPrediction], message: str) -> None:
    with pytest.raises(PairingError, match=message):
        comparison.compare_scores(predictions(most), tuned, a_suite())


def test_the_result_can_be_written_as_json() -> None:
    few = [each for each in predictions(every_third, 0.01) if each.group in {"company 1", "company 2"}]
    also_few = [each for each in predictions(most) if each.group in {"company 1", "company 2"}]
    result = comparison.compare_scores(few, also_few, a_suite(), GatePolicy())
    document = json.loads(json.dumps(result.as_document(), allow_nan=False))
    assert (document["verdict"], document["reason"]) == ("Inconclusive", "InsufficientData")
    assert document["guardrails"][0]["inference"]["low"] is None
    assert document["overall"]["difference"] == result.overall.difference
    assert document["tasks"][0]["parseSplit"].keys() == {"becameParsable", "becameRight"}
    assert document["gatesPassed"] is False
