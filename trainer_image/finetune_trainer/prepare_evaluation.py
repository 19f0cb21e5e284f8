"""The prepare step of an Evaluation or a Comparison: what models, suite and decoding contain, and what is done already.

Loads no weights and no torch: a pod without GPU answers within seconds, and the time it takes to hash the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from finetune_api.comparison import Gate
from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.orders import ModelLocation, PrepareEvaluationOrder
from finetune_api.results import EvaluateResult, ModelDigest, PrepareEvaluationResult
from finetune_trainer.artifacts import find_complete
from finetune_trainer.dataset.quality.contamination import count_learnt
from finetune_trainer.evaluation.choices import encode_asked
from finetune_trainer.evaluation.content import content_of
from finetune_trainer.evaluation.questions import as_put, context_length, load_questions
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
    digests = tuple(
        _digest(order, model, subject, suite) for model, subject in zip(order.models, subjects, strict=True)
    )
    _check_expected(order.expected_digest, digests)
    _tell_contaminated(digests, suite, reporter)
    return PrepareEvaluationResult(
        digests=digests,
        minimum_detectable_effect=f"{weakest_task_effect(suite):.4f}",
        suite_digest=suite_digest(suite),
        evaluated=_find_evaluated(order, digests),
    )


def _tell_contaminated(models: Sequence[ModelDigest], suite: LoadedSuite, reporter: Reporter) -> None:
    for model in models:
        if model.contaminated:
            reporter.note(
                f"spec.suite: {model.name} has learnt from {model.contaminated} examples of the suite "
                f"{suite.suite.name}: their scores prove nothing. Take another suite, or train anew with "
                "spec.evaluation.suite set to this one"
            )


def _check_gate(gate: Gate | None, suite: LoadedSuite) -> None:
    """A gate on what the suite does not ask could never be passed."""
    if gate is None:
        return
    known = [task.name for task in suite.suite.tasks]
    named = (
        ("mustNotRegress", gate.must_not_regress or ()),
        ("retention", (gate.retention,) if gate.retention else ()),
    )
    for field, wanted in named:
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise UserError(
                Reason.SUITE_INVALID,
                f"spec.gate.{field}: suite {suite.suite.name} has no task {', '.join(unknown)}; "
                f"its tasks are {', '.join(known)}",
            )
    if gate.max_perplexity_rise is not None and len(suite.suite.scored_tasks) == len(known):
        raise UserError(
            Reason.SUITE_INVALID,
            f"spec.gate.maxPerplexityRise: suite {suite.suite.name} has no perplexity task; leave the gate out, or add "
            "one",
        )


def _digest(order: PrepareEvaluationOrder, model: ModelLocation, subject: Subject, suite: LoadedSuite) -> ModelDigest:
    """Puts every question into the model's tokens on the way, for a suite that does not fit must not cost a GPU."""
    tokenizer, context = subject.tokenizer(), context_length(subject.base.config)
    put = as_put(suite, order.suite, model.shots)
    for task in suite.suite.scored_tasks:
        encode_asked(put, task, tokenizer, order.decoding, context)
    return ModelDigest(
        name=subject.name,
        digest=content_of(subject, tokenizer, suite, order.decoding, put).digest,
        contaminated=count_learnt(subject.adapter, suite),
    )


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
