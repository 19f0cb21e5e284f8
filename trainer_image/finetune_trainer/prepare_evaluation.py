"""The prepare step of an Evaluation or a Comparison: what models, suite and decoding contain, and what is done already.

Loads no weights and no torch: a pod without GPU answers within seconds, and the time it takes to hash the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from finetune_api.comparison import Gate
from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.orders import PrepareEvaluationOrder
from finetune_api.results import EvaluateResult, ModelDigest, PrepareEvaluationResult
from finetune_trainer.artifacts import find_complete
from finetune_trainer.dataset.quality.contamination import count_learnt
from finetune_trainer.evaluation.content import content_of
from finetune_trainer.evaluation.questions import context_length, encode_questions, load_questions
from finetune_trainer.evaluation.subject import KnownBases, Subject, find_subject
from finetune_trainer.failures import UserError
from finetune_trainer.reporting import Reporter
from finetune_trainer.statistics.power import weakest_task_effect
from finetune_trainer.suites.digest import suite_digest
from finetune_trainer.suites.model import LoadedSuite


def run(order: PrepareEvaluationOrder, reporter: Reporter) -> PrepareEvaluationResult:
    """Checks everything that can be checked before a GPU is asked for."""
    reporter.stage("checking suite and models")
    suite = load_questions(order.suite)
    _check_gate(order.gate, suite)
    bases = KnownBases(reporter)
    subjects = [find_subject(model, bases) for model in order.models]
    digests = tuple(_digest(order, subject, suite) for subject in subjects)
    _check_expected(order.expected_digest, digests)
    learnt = {subject.name: count_learnt(subject.adapter, suite) for subject in subjects}
    _tell_contaminated(learnt, suite, reporter)
    return PrepareEvaluationResult(
        digests=digests,
        minimum_detectable_effect=f"{weakest_task_effect(suite):.4f}",
        suite_digest=suite_digest(suite),
        contaminated=max(learnt.values()),
        evaluated=_find_evaluated(order, digests),
    )


def _tell_contaminated(learnt: Mapping[str, int], suite: LoadedSuite, reporter: Reporter) -> None:
    for name, count in learnt.items():
        if count:
            reporter.note(
                f"spec.suite: {name} has learnt from {count} examples of the suite {suite.suite.name}: their scores "
                "prove nothing. Take another suite, or train anew with spec.evaluation.suite set to this one"
            )


def _check_gate(gate: Gate | None, suite: LoadedSuite) -> None:
    wanted = () if gate is None else gate.must_not_regress or ()
    known = [task.name for task in suite.suite.tasks]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UserError(
            Reason.SUITE_INVALID,
            f"spec.gate.mustNotRegress: suite {suite.suite.name} has no task {', '.join(unknown)}; "
            f"its tasks are {', '.join(known)}",
        )


def _digest(order: PrepareEvaluationOrder, subject: Subject, suite: LoadedSuite) -> ModelDigest:
    """Puts every question into the model's tokens on the way, for a suite that does not fit must not cost a GPU."""
    tokenizer, context = subject.tokenizer(), context_length(subject.base.config)
    for task in suite.suite.scored_tasks:
        encode_questions(suite, task, tokenizer, order.decoding, context)
    return ModelDigest(name=subject.name, digest=content_of(subject, tokenizer, suite, order.decoding).digest)


def _check_expected(expected: str | None, digests: Sequence[ModelDigest]) -> None:
    for found in digests:
        if expected is not None and found.digest != expected:
            raise UserError(
                Reason.CONTENT_CHANGED,
                f"spec.digest: model, suite and decoding have digest {found.digest}, expected {expected}: something of "
                "them has changed. Restore it, or leave spec.digest out to evaluate what is there now",
            )


def _find_evaluated(order: PrepareEvaluationOrder, digests: Sequence[ModelDigest]) -> EvaluateResult | None:
    if len(digests) != 1:
        return None
    found = find_complete(Path(order.directory), Step.EVALUATE, digests[0].digest)
    return found if isinstance(found, EvaluateResult) else None
