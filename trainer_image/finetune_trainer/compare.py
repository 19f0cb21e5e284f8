"""The compare step from top to bottom: read both models' answers, judge, write the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.orders import CompareOrder
from finetune_api.report_parcel import report_digest
from finetune_api.results import CompareResult
from finetune_trainer.artifacts import find_complete, order_identity, staged_step
from finetune_trainer.candidate_status import candidate_status, recipe_status
from finetune_trainer.cost_of_gain import cost_of_gain
from finetune_trainer.evaluation.alike import differences
from finetune_trainer.evaluation.finished import FinishedEvaluation, read_finished
from finetune_trainer.evaluation.questions import load_questions
from finetune_trainer.failures import UserError
from finetune_trainer.flips.flips import counts
from finetune_trainer.report.findings import Findings
from finetune_trainer.report.training_folder import read_training
from finetune_trainer.report.write import REPORT_FILE, SHORT_FILE, write_report
from finetune_trainer.reporting import Reporter
from finetune_trainer.statistics import ranking
from finetune_trainer.statistics.comparison import among_candidates, compare_scores
from finetune_trainer.statistics.gates import GatePolicy
from finetune_trainer.statistics.pairing import PairingError
from finetune_trainer.statistics.recipe import judge_recipe
from finetune_trainer.statistics.results import ComparisonResult
from finetune_trainer.statistics.slices import slice_effects
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
    rivals = tuple(read_finished(rival) for rival in order.rivals)
    _check_names((candidate, *rivals))
    for evaluation in (baseline, candidate, *rivals):
        _check_suite(evaluation, suite)
    for other in (candidate, *rivals):
        _check_alike(baseline, other)
    training = read_training(order.training)
    result = _judge(baseline, candidate, rivals, suite, order)
    return Findings(
        comparison=order.comparison,
        suite=suite,
        baseline=baseline,
        candidate=candidate,
        result=result,
        cost=order.cost and cost_of_gain(order.cost, result),
        earlier_looks=order.earlier_looks,
        contaminated=order.contaminated,
        left_out=order.left_out,
        losses=training.losses,
        dataset=training.dataset,
        slices=slice_effects(suite, baseline.predictions, candidate.predictions),
    )


def _judge(
    baseline: FinishedEvaluation,
    candidate: FinishedEvaluation,
    rivals: Sequence[FinishedEvaluation],
    suite: LoadedSuite,
    order: CompareOrder,
) -> ComparisonResult:
    try:
        policy = None if order.gate is None else GatePolicy.of(order.gate)
        result = compare_scores(baseline.predictions, candidate.predictions, suite.suite, policy)
        if not rivals:
            return result
        all_answers = {each.name: each.predictions for each in (candidate, *rivals)}
        standings = ranking.stand(suite.suite, baseline.predictions, all_answers)
        recipe = judge_recipe(suite.suite, baseline.predictions, all_answers) if order.replicates else None
        among = among_candidates(result, candidate.name, standings, suite.suite.margin)
        return replace(among, recipe=recipe)
    except PairingError as error:
        raise UserError(Reason.CONTENT_CHANGED, f"the two evaluations cannot be paired: {error}") from error


def _check_names(candidates: Sequence[FinishedEvaluation]) -> None:
    names = [each.name for each in candidates]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(
            Reason.ORDER_INVALID,
            f"spec.candidates: {', '.join(repeated)} is there more than once; name each candidate once",
        )


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
    found = differences(baseline.record, candidate.record)
    if found:
        named = "; ".join(
            f"{each.what}: {each.one} for {baseline.name} against {each.other} for {candidate.name}" for each in found
        )
        remedies = ". ".join(dict.fromkeys(each.remedy for each in found))
        raise UserError(
            Reason.CONTENT_CHANGED,
            f"the two evaluations were made under different conditions: {named}. {remedies}",
        )


def _result(order: CompareOrder, findings: Findings, short: Path) -> CompareResult:
    return CompareResult(
        candidate=candidate_status(order.candidate.name, findings.result, findings.cost, counts(findings.flips)),
        recipe=recipe_status(findings.result),
        report_path=f"{Step.COMPARE}/{REPORT_FILE}",
        report_digest=report_digest(short.read_bytes()) if short.is_file() else None,
    )
