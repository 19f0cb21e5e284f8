"""What the Comparison's status is told: figures, signs, and that all of it fits a termination message."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from decimal import Decimal

import pytest
from findings_of import at_least, findings_of, right_for, small_suite

from finetune_api.comparison import CandidateStatus, Cost
from finetune_api.results import TERMINATION_MESSAGE_LIMIT, CompareResult, parse_result
from finetune_api.verdicts import Verdict
from finetune_trainer import figures
from finetune_trainer.candidate_status import candidate_status
from finetune_trainer.report.page import render
from finetune_trainer.statistics.comparison import compare_scores
from finetune_trainer.termination import bounded_document

COST = Cost(training_hours="0.12", energy_note="not measured: no GPU")


def status_of(base: float, tuned: float) -> CandidateStatus:
    findings = findings_of(small_suite("eps", "revenue"), right_for(base), right_for(tuned), gate=at_least("10"))
    return candidate_status("eps-job", findings.result, COST)


def test_an_improvement_is_reported_with_its_figures() -> None:
    status = status_of(0.2, 0.9)
    assert status.verdict is Verdict.IMPROVED and status.overall is not None
    assert status.overall.n == 240 and status.overall.groups == 40
    difference = Decimal(status.overall.tuned) - Decimal(status.overall.base)
    assert status.overall.delta == f"+{difference}"
    assert Decimal(status.overall.lower) < difference < Decimal(status.overall.upper)
    percent = 100 * float(difference) / float(status.overall.base)
    assert float(status.overall.delta_percent or 0) == pytest.approx(percent, abs=0.2)


def test_a_regression_has_a_minus_sign() -> None:
    status = status_of(0.9, 0.2)
    assert status.verdict is Verdict.REGRESSED and status.overall is not None
    assert status.overall.delta.startswith("-") and status.overall.upper.startswith("-")
    assert not any(gate.passed for gate in status.gates if gate.task != "texts")


def test_a_base_that_scores_nothing_has_no_percentage() -> None:
    overall = status_of(0.0, 0.5).overall
    assert overall is not None and overall.base == "0.0000" and overall.delta_percent is None


@pytest.mark.parametrize("seed", range(8))
def test_right_answers_to_the_wrong_questions_are_no_improvement(seed: int) -> None:
    """As of an adapter that was trained on shuffled answers: it has learnt the form and nothing else."""
    answers = [right_for(0.4)(number) for number in range(120)]
    shuffled = random.Random(seed).sample(answers, len(answers))
    findings = findings_of(small_suite("eps", "revenue"), answers.__getitem__, shuffled.__getitem__, gate=at_least("0"))
    status = candidate_status("eps-job", findings.result, None)
    assert status.verdict is not Verdict.IMPROVED
    assert status.gates[0].passed is False


def test_the_parts_of_a_difference_add_up() -> None:
    for task in status_of(0.2, 0.9).tasks:
        parts = Decimal(task.became_parsable) + Decimal(task.became_right)
        assert abs(parts - Decimal(task.delta)) <= Decimal("0.0001")


def test_more_nats_than_before_are_a_positive_difference() -> None:
    findings = findings_of(small_suite("eps"), right_for(0.5), right_for(0.5))
    worse = [
        each.model_copy(update={"negative_log_likelihood": each.negative_log_likelihood + 10 + number % 3})
        if each.negative_log_likelihood is not None
        else each
        for number, each in enumerate(findings.candidate.predictions)
    ]
    result = compare_scores(findings.baseline.predictions, worse, findings.suite.suite)
    effect = candidate_status("eps-job", result, None).perplexity
    assert effect is not None and effect.delta.startswith("+0.1")
    assert Decimal(effect.lower) <= Decimal(effect.delta) <= Decimal(effect.upper)


@pytest.mark.parametrize("documents", [1, 2, 5])
def test_an_interval_that_few_documents_leave_open_has_no_ends(documents: int) -> None:
    """At so few groups no turning of signs is rare enough to refuse a difference, and nats have no largest value."""
    findings = findings_of(small_suite("eps"), right_for(0.5), right_for(0.5))
    worse = [
        each.model_copy(update={"negative_log_likelihood": each.negative_log_likelihood + 10})
        if each.negative_log_likelihood is not None
        else each
        for each in findings.candidate.predictions
    ]
    kept = [
        [each for each in predictions if each.task != "texts" or int(each.id.removeprefix("text-")) < documents]
        for predictions in (findings.baseline.predictions, worse)
    ]
    result = compare_scores(*kept, findings.suite.suite, at_least("10"))
    status = candidate_status("eps-job", result, None)
    assert status.perplexity is not None
    assert (status.perplexity.lower, status.perplexity.upper) == (None, None)
    gate = next(each for each in status.gates if each.task == "texts")
    assert (gate.passed, gate.bound) == (False, None)
    assert "inf" not in status.model_dump_json(include={"perplexity", "gates"})
    page = render(replace(findings, result=result), "2025-01-01T00:00:00Z")
    assert "[unbounded, unbounded]" in page
    assert "+inf" not in page and "-inf" not in page


def test_the_widest_result_fits_a_termination_message() -> None:
    names = [f"task-{letter}-{'x' * 55}" for letter in "abcdefghijk"]
    findings = findings_of(small_suite(*names, title="T" * 256), right_for(0.31), right_for(0.77), gate=at_least("10"))
    result = CompareResult(
        candidate=candidate_status("j" * 253, findings.result, COST), report_path="compare/report.html"
    )
    assert len(result.candidate.tasks) == 11 and len(result.candidate.gates) == 13
    document = bounded_document(result)
    assert len(document.encode()) <= TERMINATION_MESSAGE_LIMIT
    assert parse_result(document) == result


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345, "+0.1235"), (-0.5, "-0.5000"), (0.00001, "0.0000"), (-0.00001, "0.0000"), (0.0, "0.0000")],
)
def test_differences_have_a_sign_unless_they_are_zero(value: float, shown: str) -> None:
    assert figures.difference(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.5, "+0.5000"), (0.0, "0.0000"), (math.inf, None), (-math.inf, None)])
def test_a_bound_is_a_decimal_or_nothing(value: float, shown: str | None) -> None:
    assert figures.bound(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(1.0, "1.0000"), (0.0371, "0.0371"), (1e-9, "0.0001")])
def test_a_tiny_probability_is_rounded_up(value: float, shown: str) -> None:
    assert figures.probability(value) == shown
