"""The compare step from top to bottom: read both models' answers, judge, write the report."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from finetune_api.comparison import Gate
from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.orders import CompareOrder
from finetune_api.report_parcel import report_digest
from finetune_api.results import CompareResult
from finetune_trainer.artifacts import find_complete, order_identity, staged_step
from finetune_trainer.candidate_status import candidate_status
from finetune_trainer.evaluation.finished import FinishedEvaluation, read_finished
from finetune_trainer.evaluation.questions import load_questions
from finetune_trainer.failures import UserError
from finetune_trainer.flips.flips import counts
from finetune_trainer.report.findings import Findings
from finetune_trainer.report.training_folder import read_training
from finetune_trainer.report.write import REPORT_FILE, SHORT_FILE, write_report
from finetune_trainer.reporting import Reporter
from finetune_trainer.statistics.comparison import compare_scores
from finetune_trainer.statistics.gates import GatePolicy
from finetune_trainer.statistics.pairing import PairingError
from finetune_trainer.statistics.results import ComparisonResult
from finetune_trainer.suites.digest import suite_digest
from finetune_trainer.suites.model import LoadedSuite


def run(order: CompareOrder, reporter: Reporter) -> CompareResult:
    """Says the verdict, or finds that this was done."""
    identity = order_identity(order)
    found = find_complete(Path(order.directory), Step.COMPARE, identity)
    if isinstance(found, CompareResult):
        _tell_report(order, reporter)
        return found
    reporter.stage("comparing")
    findings = _compare(order)
    with staged_step(Path(order.directory), Step.COMPARE) as staged:
        write_report(findings, staged.path)
        result = _result(order, findings, staged.path / SHORT_FILE)
        committed = staged.commit(result, identity)
    _tell_report(order, reporter)
    return committed if isinstance(committed, CompareResult) else result


def _tell_report(order: CompareOrder, reporter: Reporter) -> None:
    """Each time, since the log of an earlier pod may be gone."""
    short = Path(order.directory) / Step.COMPARE / SHORT_FILE
    if short.is_file():
        reporter.report(short.read_bytes())


def _compare(order: CompareOrder) -> Findings:
    suite = load_questions(order.suite)
    baseline, candidate = read_finished(order.baseline), read_finished(order.candidate)
    for evaluation in (baseline, candidate):
        _check_suite(evaluation, suite)
    _check_alike(baseline, candidate)
    training = read_training(order.training)
    return Findings(
        comparison=order.comparison,
        suite=suite,
        baseline=baseline,
        candidate=candidate,
        result=_judge(baseline, candidate, suite, order.gate),
        cost=order.cost,
        earlier_looks=order.earlier_looks,
        losses=training.losses,
        dataset=training.dataset,
    )


def _judge(
    baseline: FinishedEvaluation, candidate: FinishedEvaluation, suite: LoadedSuite, gate: Gate | None
) -> ComparisonResult:
    try:
        return compare_scores(baseline.predictions, candidate.predictions, suite.suite, _policy(gate))
    except PairingError as error:
        raise UserError(Reason.CONTENT_CHANGED, f"the two evaluations cannot be paired: {error}") from error


def _policy(gate: Gate | None) -> GatePolicy | None:
    if gate is None:
        return None
    percent = gate.min_improvement_percent
    return GatePolicy(None if percent is None else Decimal(percent), gate.must_not_regress)


def _check_suite(evaluation: FinishedEvaluation, suite: LoadedSuite) -> None:
    expected = suite_digest(suite)
    if evaluation.record.content.suite != expected:
        raise UserError(
            Reason.CONTENT_CHANGED,
            f"spec.suite: {evaluation.name} answered a suite with digest {evaluation.record.content.suite}, but the "
            f"suite now has {expected}: it was changed in between. Make a new Comparison, and both models answer it",
        )


def _check_alike(baseline: FinishedEvaluation, candidate: FinishedEvaluation) -> None:
    """The models must be all that differs."""
    one, other = baseline.record.content, candidate.record.content
    for what, left, right in (
        ("decoding", one.decoding.to_manifest(), other.decoding.to_manifest()),
        ("version of the scorers", one.scoring, other.scoring),
    ):
        if left != right:
            raise UserError(
                Reason.CONTENT_CHANGED,
                f"the two evaluations differ in {what}: {left} for {baseline.name}, {right} for {candidate.name}. "
                "Make a new Comparison, so that both are made alike",
            )


def _result(order: CompareOrder, findings: Findings, short: Path) -> CompareResult:
    return CompareResult(
        candidate=candidate_status(order.candidate.name, findings.result, order.cost, counts(findings.flips)),
        report_path=f"{Step.COMPARE}/{REPORT_FILE}",
        report_digest=report_digest(short.read_bytes()) if short.is_file() else None,
    )
