"""What the candidate took, in the report and in the status."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from findings_of import findings_of, right_for, small_suite

from finetune_api.comparison import Cost
from finetune_trainer.candidate_status import candidate_status
from finetune_trainer.cost_of_gain import cost_of_gain
from finetune_trainer.report.cost import cost_lines
from finetune_trainer.report.findings import Findings
from finetune_trainer.report.write import write_report

WHOLE = Cost(
    training_hours="3.5",
    energy_kwh="7",
    failed_attempts_energy_kwh="0.5",
    evaluation_hours="0.25",
    money="12.34",
    currency="EUR",
)


def costing(cost: Cost | None, base: float = 0.2, tuned: float = 0.9) -> Findings:
    findings = findings_of(small_suite("eps", "revenue"), right_for(base), right_for(tuned))
    return replace(findings, cost=cost and cost_of_gain(cost, findings.result))


def test_a_point_costs_the_trainings_energy_divided_by_the_points_gained() -> None:
    findings = costing(WHOLE)
    points = 100 * findings.result.overall.difference
    assert findings.cost is not None and findings.cost.kwh_per_point == f"{7 / points:.4f}"
    status = candidate_status("eps-job", findings.result, findings.cost)
    assert status.cost == findings.cost


@pytest.mark.parametrize(("base", "tuned", "verdict"), [(0.5, 0.52, "Inconclusive"), (0.9, 0.2, "Regressed")])
def test_a_point_has_no_price_unless_the_verdict_is_improved(base: float, tuned: float, verdict: str) -> None:
    findings = costing(WHOLE, base, tuned)
    assert findings.result.verdict == verdict
    assert findings.cost is not None and findings.cost.kwh_per_point is None
    assert dict(cost_lines(findings))["GPU energy a point gained"] == f"n/a: the verdict is {verdict}"


def test_a_point_has_no_price_where_energy_was_not_measured() -> None:
    told = dict(cost_lines(costing(Cost(training_hours="3.5", energy_note="not measured: no GPU"))))
    assert told["GPU energy"] == "not measured: no GPU"
    assert told["GPU energy a point gained"] == "n/a: energy was not measured"
    assert not {"price of the training", "evaluation time", "GPU energy of failed attempts"} & told.keys()


def test_failed_attempts_and_evaluations_are_told_apart_from_the_training() -> None:
    told = dict(cost_lines(costing(WHOLE)))
    assert told["training time"] == "3.5 hours" and told["GPU energy"] == "7 kWh"
    assert told["GPU energy of failed attempts"] == "0.5 kWh" and told["evaluation time"] == "15.0 minutes"
    assert told["price of the training"] == "12.34 EUR"


@pytest.mark.parametrize(
    ("base", "tuned", "told"),
    [
        (0.0, 0.9, "n/a: the baseline scores 0"),
        (0.9, 0.2, "of the baseline's overall score"),
        (0.5, 0.52, "of the baseline's overall score; the verdict is Inconclusive"),
    ],
)
def test_the_improvement_in_percent_says_when_it_is_in_doubt(base: float, tuned: float, told: str) -> None:
    assert dict(cost_lines(costing(WHOLE, base, tuned)))["improvement (ROI)"].endswith(told)


def test_every_form_of_the_report_tells_the_cost(tmp_path: Path) -> None:
    findings = costing(WHOLE)
    write_report(findings, tmp_path)
    page, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    for name, value in cost_lines(findings):
        assert value.replace("'", "&#39;") in page and f"- {name}: {value}" in text
    assert findings.cost is not None
    assert json.loads((tmp_path / "report.json").read_text())["cost"] == findings.cost.to_manifest()


def test_nothing_is_said_of_a_training_that_is_not_known(tmp_path: Path) -> None:
    write_report(costing(None), tmp_path)
    assert "What it cost" not in (tmp_path / "report.html").read_text()
    assert "ROI" not in (tmp_path / "report.md").read_text()
