"""From two models' predictions to the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from finetune_api.verdicts import Verdict
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.statistics import gates, inference, pairing, parse_split, perplexity, ranking, verdict
from finetune_trainer.statistics.gates import GatePolicy
from finetune_trainer.statistics.holm import holm
from finetune_trainer.statistics.inference import Inference
from finetune_trainer.statistics.mcnemar import mcnemar_p
from finetune_trainer.statistics.overall import OverallSample, overall_sample
from finetune_trainer.statistics.pairing import PairedTask
from finetune_trainer.statistics.ranking import Standing
from finetune_trainer.statistics.results import ComparisonResult, TaskResult
from finetune_trainer.suites import model

SCORE_BOUNDS = (-1.0, 1.0)
"""Scores lie between 0 and 1, so no difference lies outside."""


def compare_scores(
    base: Sequence[ScoredPrediction],
    tuned: Sequence[ScoredPrediction],
    suite: model.Suite,
    policy: GatePolicy | None = None,
) -> ComparisonResult:
    """What the predictions on one suite say of the tuned model against the base. No policy, no gates."""
    pairs = [pairing.pair_task(task, base, tuned) for task in suite.scored_tasks]
    texts = [pairing.pair_texts(task, base, tuned) for task in suite.tasks if not task.is_scored]
    tasks = _judge_tasks(pairs, suite.margin)
    sample = overall_sample(pairs)
    overall = _judge_overall(sample, tasks, suite.margin)
    guardrails = tuple(perplexity.compare_texts(pair) for pair in texts)
    passed = () if policy is None else gates.judge_gates(suite, policy, sample, overall, (*tasks, *guardrails))
    return ComparisonResult(suite.name, suite.version, tasks, overall, guardrails, gates=tuple(passed))


def among_candidates(
    result: ComparisonResult, name: str, standings: Mapping[str, Standing], margin: float
) -> ComparisonResult:
    """The same where the candidate of that name is one of several: its overall test is one of theirs, so that p is
    adjusted for their number. Else the best of eight that are no better than the base would often be called better."""
    p_holm = standings[name].rank.p_holm
    finding = _find_overall(result.overall.changed_answers, result.overall.inference, result.tasks, margin, p_holm)
    overall = replace(
        result.overall, p_holm=p_holm, verdict=finding.verdict, reason=finding.reason, message=finding.message
    )
    return replace(result, overall=overall, standing=standings[name], ranking=ranking.in_order(standings))


def _judge_tasks(pairs: Sequence[PairedTask], margin: float) -> tuple[TaskResult, ...]:
    found = {pair.task.name: inference.infer(pair.sample(), SCORE_BOUNDS) for pair in pairs}
    adjusted = holm({name: each.p for name, each in found.items()})
    return tuple(_judge_task(pair, found[pair.task.name], adjusted[pair.task.name], margin) for pair in pairs)


def _judge_task(pair: PairedTask, found: Inference, p_holm: float, margin: float) -> TaskResult:
    finding = verdict.judge(verdict.Evidence(pair.changed_answers == 0, found, margin, p_holm))
    sample = pair.sample()
    return TaskResult(
        name=pair.task.name,
        title=pair.task.title,
        examples=len(pair.base),
        base=float(pair.base.mean()),
        tuned=float(pair.tuned.mean()),
        inference=found,
        p_holm=p_holm,
        verdict=finding.verdict,
        reason=finding.reason,
        message=finding.message,
        parse_split=parse_split.split(sample.differences, sample.weights, pair.base_parsed, pair.tuned_parsed),
        base_unparsable=int((~pair.base_parsed).sum()),
        tuned_unparsable=int((~pair.tuned_parsed).sum()),
        changed_answers=pair.changed_answers,
        mcnemar_p=mcnemar_p(pair),
    )


def _judge_overall(sample: OverallSample, tasks: Sequence[TaskResult], margin: float) -> TaskResult:
    """The one primary test, outside Holm's family."""
    found = inference.infer(sample.sample, SCORE_BOUNDS)
    changed_answers = sum(task.changed_answers for task in tasks)
    finding = _find_overall(changed_answers, found, tasks, margin)
    whole = sample.sample
    return TaskResult(
        name=model.OVERALL,
        title=model.OVERALL,
        examples=sum(task.examples for task in tasks),
        base=sample.base_mean,
        tuned=sample.tuned_mean,
        inference=found,
        p_holm=None,
        verdict=finding.verdict,
        reason=finding.reason,
        message=finding.message,
        parse_split=parse_split.split(whole.differences, whole.weights, sample.base_parsed, sample.tuned_parsed),
        base_unparsable=sum(task.base_unparsable for task in tasks),
        tuned_unparsable=sum(task.tuned_unparsable for task in tasks),
        changed_answers=changed_answers,
        mcnemar_p=None,
    )


def _find_overall(
    changed_answers: int, found: Inference, tasks: Sequence[TaskResult], margin: float, p_holm: float | None = None
) -> verdict.Finding:
    regressed = tuple(task.title for task in tasks if task.verdict is Verdict.REGRESSED)
    return verdict.judge(verdict.Evidence(changed_answers == 0, found, margin, p_holm, regressed))
