"""The compare step: what it makes of two evaluations, and what it refuses."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from evaluation_desk import Desk, write_lines

from finetune_api.comparison import Cost, Gate, GateName
from finetune_api.conditions import Reason
from finetune_api.evaluation import Decoding
from finetune_api.orders import EvaluateOrder
from finetune_api.report_parcel import report_digest, unpack
from finetune_api.results import CompareResult
from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer import compare, evaluate
from finetune_trainer.failures import InfrastructureError, UserError


@pytest.fixture
def two_evaluations(desk: Desk, adapter: Path) -> Desk:
    """Of the base model, and of the base model with the adapter."""
    desk.evaluate("base")
    desk.evaluate("tuned", adapter=adapter)
    return desk


@pytest.fixture
def the_same_twice(desk: Desk) -> Desk:
    desk.evaluate("base")
    shutil.copytree(desk.root / "base", desk.root / "tuned")
    return desk


def compared(desk: Desk, **changes: Any) -> CompareResult:
    return compare.run(desk.compare_order(**changes), desk.reporter())


def refused(desk: Desk, **changes: Any) -> UserError:
    with pytest.raises(UserError) as failure:
        compared(desk, **changes)
    return failure.value


def test_identical_answers_are_no_difference(the_same_twice: Desk) -> None:
    candidate = compared(the_same_twice, gate=Gate()).candidate
    assert candidate.overall is not None
    assert (candidate.verdict, candidate.overall.reason) == (Verdict.NO_DIFFERENCE, VerdictReason.IDENTICAL)
    assert candidate.overall.delta == "0.0000"
    assert all(task.reason is VerdictReason.IDENTICAL for task in candidate.tasks)
    assert all(gate.passed for gate in candidate.gates)


def test_the_result_names_candidate_tasks_and_report(two_evaluations: Desk) -> None:
    result = compared(two_evaluations)
    assert result.candidate.fine_tune_job == "eps-job"
    assert [(task.name, task.n, task.title) for task in result.candidate.tasks] == [
        ("eps", 24, "EPS <b>"),
        ("mood", 24, "mood"),
    ]
    assert result.candidate.perplexity is not None and result.candidate.perplexity.documents == 24
    assert result.candidate.gates == ()
    assert (two_evaluations.root / "comparison" / result.report_path).is_file()


def test_all_files_of_the_report_are_there(two_evaluations: Desk) -> None:
    compared(two_evaluations)
    folder = two_evaluations.root / "comparison" / "compare"
    written = {path.name for path in folder.iterdir()}
    report = {"report.html", "report.json", "report.md", "report.short.html.gz"}
    assert written == report | {"result.json", "manifest.json", "COMPLETE"}
    figures = json.loads((folder / "report.json").read_text())
    assert figures["candidate"]["content"]["adapter"] and figures["baseline"]["content"]["adapter"] is None
    assert {task["name"] for task in figures["tasks"]} == {"eps", "mood"}


def test_the_log_tells_the_report_each_time_that_the_step_is_run(two_evaluations: Desk) -> None:
    for _ in range(2):
        result = compared(two_evaluations)
        report = unpack(two_evaluations.events.getvalue())
        assert report is not None and report_digest(report) == result.report_digest
        page = (two_evaluations.root / "comparison" / "compare" / "report.html").read_text()
        assert gzip.decompress(report).decode() == page
        two_evaluations.events.seek(0)
        two_evaluations.events.truncate()


def test_a_comparison_is_made_once(two_evaluations: Desk) -> None:
    order = two_evaluations.compare_order()
    first = compare.run(order, two_evaluations.reporter())
    report = two_evaluations.root / "comparison/compare/report.html"
    written = report.stat().st_mtime_ns
    shutil.rmtree(two_evaluations.root / "base")
    again = order.model_copy(update={"earlier_looks": 3})
    assert compare.run(again, two_evaluations.reporter()) == first
    assert report.stat().st_mtime_ns == written


def test_replicates_are_judged_as_a_recipe_and_other_rivals_are_not(two_evaluations: Desk) -> None:
    rivals = [two_evaluations.evaluation("base", "seed-2").model_dump()]
    assert compared(two_evaluations, rivals=rivals).recipe is None
    folder = str(two_evaluations.root / "replicates")
    recipe = compared(two_evaluations, rivals=rivals, replicates=True, directory=folder).recipe
    assert recipe is not None and recipe.seeds == 2
    assert (recipe.verdict, recipe.reason) == ("Inconclusive", "InsufficientData"), "two seeds tell nothing"
    figures = json.loads((two_evaluations.root / "replicates/compare/report.json").read_text())
    assert figures["recipe"]["seeds"] == 2


def test_the_cost_is_handed_on(two_evaluations: Desk) -> None:
    cost = Cost(training_hours="0.12", energy_note="not measured: no GPU")
    assert compared(two_evaluations, cost=cost).candidate.cost == cost


def test_gates_come_with_bound_and_limit(two_evaluations: Desk) -> None:
    gates = compared(
        two_evaluations, gate=Gate(min_improvement_percent="10", must_not_regress=("mood",))
    ).candidate.gates
    assert [(gate.gate, gate.task) for gate in gates] == [
        (GateName.MIN_IMPROVEMENT, None),
        (GateName.MUST_NOT_REGRESS, "mood"),
    ]
    assert gates[1].limit == "-0.0300"
    assert all(gate.passed is False for gate in gates), "with so little data doubt fails them"


def test_another_suite_is_refused(two_evaluations: Desk) -> None:
    lines = [json.loads(line) for line in (two_evaluations.suite / "eps.jsonl").read_text().splitlines()]
    write_lines(two_evaluations.suite / "eps.jsonl", lines[:-1])
    failure = refused(two_evaluations)
    assert failure.reason is Reason.CONTENT_CHANGED and failure.message.count("sha256:") == 2


def test_another_limit_is_refused(two_evaluations: Desk) -> None:
    assert refused(two_evaluations, suite=two_evaluations.suite_location(limit=5)).reason is Reason.CONTENT_CHANGED


def test_another_decoding_is_refused(desk: Desk) -> None:
    desk.evaluate("base")
    decoding = Decoding(max_new_tokens=3)
    order = desk.evaluate_order("tuned").to_json()
    digest = desk.digest(decoding=decoding)
    changed = EvaluateOrder.model_validate(json.loads(order) | {"decoding": {"maxNewTokens": 3}, "digest": digest})
    evaluate.run(changed, desk.reporter())
    failure = refused(desk)
    assert failure.reason is Reason.CONTENT_CHANGED and "decoding" in failure.message


def test_changed_predictions_are_not_compared(two_evaluations: Desk) -> None:
    order = two_evaluations.compare_order()
    predictions = two_evaluations.root / "tuned/evaluate/predictions.jsonl"
    predictions.write_text(predictions.read_text().replace('"score":0.0', '"score":1.0'))
    with pytest.raises(InfrastructureError) as failure:
        compare.run(order, two_evaluations.reporter())
    assert failure.value.reason is Reason.STORAGE_FAILED and "eps-job" in failure.value.message


def test_predictions_of_another_evaluation_are_not_compared(two_evaluations: Desk) -> None:
    other = two_evaluations.evaluation("base", "base").digest
    candidate = two_evaluations.evaluation("tuned", "eps-job").model_copy(update={"digest": other})
    with pytest.raises(InfrastructureError, match="not those of the evaluation"):
        compared(two_evaluations, candidate=candidate.model_dump())


def test_a_missing_evaluation_is_named(two_evaluations: Desk) -> None:
    order = two_evaluations.compare_order()
    shutil.rmtree(two_evaluations.root / "tuned")
    with pytest.raises(UserError) as failure:
        compare.run(order, two_evaluations.reporter())
    assert failure.value.reason is Reason.EVALUATION_FAILED and "tuned/evaluate" in failure.value.message
