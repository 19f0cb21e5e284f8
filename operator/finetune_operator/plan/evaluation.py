"""Evaluation: find out what is to be evaluated, by content, then ask and score."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from finetune_api.conditions import ConditionType, EvaluationPhase, Reason
from finetune_api.evaluation import EvaluationSpec, EvaluationStatus, ModelUnderTest
from finetune_api.finetunedmodel import FineTunedModelSpec
from finetune_api.group import Step
from finetune_api.results import EvaluateResult, PrepareEvaluationResult
from finetune_api.runs import Run
from finetune_api.sources import BaseModelSource, ClaimPath, SuiteSource
from finetune_operator.manifests import jobs, orders, queueing, volumes
from finetune_operator.observed import ObservedEvaluation
from finetune_operator.plan import attempt_history, attempts, kueue, lifecycle
from finetune_operator.plan.actions import NOTHING, Action, Plan
from finetune_operator.plan.attempts import Done, Paused, Running, State, Suspended, Waiting
from finetune_operator.plan.conditions import Wanted
from finetune_operator.plan.lifecycle import Course
from finetune_operator.plan.outcomes import Broken
from finetune_operator.plan.pursuit import (
    Hold,
    Pursuit,
    expired_jobs,
    orphaned_jobs,
    progress_of,
    pursue,
    superseded_jobs,
)
from finetune_operator.plan.reporting import (
    Report,
    acknowledged,
    attempt_follows,
    failure_report,
    place_of,
    still,
    told,
)
from finetune_operator.plan.waiting import STARTING

Phase = EvaluationPhase


@dataclass(frozen=True)
class Situation:
    """One reconcile's working set: what is observed, and the run that it is about."""

    observed: ObservedEvaluation
    course: Course[EvaluationSpec, EvaluationStatus]
    now: datetime

    @property
    def run(self) -> Run:
        return self.course.run

    @property
    def spec(self) -> EvaluationSpec:
        return self.course.spec

    @property
    def status(self) -> EvaluationStatus:
        return self.course.status

    @property
    def model(self) -> FineTunedModelSpec | None:
        return self.observed.model.spec if self.observed.model is not None else None

    @property
    def folder(self) -> str:
        return orders.run_folder(self.observed.evaluation, self.run.digest)

    @property
    def claim(self) -> str:
        return volumes.artifacts_claim(self.spec.artifacts, self.observed.settings.default_artifacts_claim)

    def state(self, step: Step) -> State:
        return attempts.state_of(self.observed.children, self.run.digest, step, self.run.attempt, self.now)


def plan(observed: ObservedEvaluation, now: datetime) -> Plan:
    """What to do for an Evaluation now."""
    if observed.evaluation.deleting:
        return NOTHING
    course = lifecycle.course_of(observed.evaluation, observed.children, now)
    situation = Situation(observed, course, now)
    stale = superseded_jobs(observed.children, course.run)
    ended = course.status.phase in (Phase.SUCCEEDED, Phase.FAILED)
    decided = Plan(acknowledged(observed.evaluation)) if ended else _work(_with_attempts(situation))
    orphans = orphaned_jobs(observed.children, observed.evaluation)
    expired = expired_jobs(observed.children, observed.evaluation.spec.ttl_seconds_after_finished) if ended else ()
    return replace(decided, actions=(*decided.actions, *stale, *orphans, *expired))


def _with_attempts(situation: Situation) -> Situation:
    """The status with what is seen of the attempts."""
    known, children, run = situation.status.attempts, situation.observed.children, situation.run.digest
    seen = attempt_history.with_what_is_seen(known, children, run, Step.EVALUATE, situation.now)
    status = situation.status.model_copy(update={"attempts": seen})
    return replace(situation, course=replace(situation.course, status=status))


def _work(situation: Situation) -> Plan:
    """The steps in their order. An evaluation that is under way needs nothing else any more."""
    digest = situation.status.digest
    match situation.state(Step.EVALUATE):
        case Done(EvaluateResult() as result):
            return _succeed(situation, result)
        case Running() | Waiting() | Suspended() | Broken():
            return _evaluate(situation, digest)
    match situation.state(Step.PREPARE):
        case Done(PrepareEvaluationResult(evaluated=EvaluateResult() as evaluated)):
            return _succeed(situation, evaluated)
        case Done(PrepareEvaluationResult(digests=(found, *_))):
            digest = found.digest
    refused = kueue.refusal(situation.spec.queue_name, situation.observed.settings)
    if refused is not None:
        return _broken(situation, refused)
    missing = situation.spec.model.fine_tuned_model
    if missing is not None and situation.model is None:
        message = f"FineTunedModel {missing} does not exist in this namespace; waiting for it. See spec.model."
        return Plan(_told(situation, Report(Phase.PENDING, Reason.WAITING_FOR_CANDIDATE, message), run=situation.run))
    return _evaluate(situation, digest) if digest is not None else _prepare(situation)


def _prepare(situation: Situation) -> Plan:
    pursuit = _pursue(situation, Step.PREPARE)
    match pursuit.state:
        case Broken() as broken:
            return _broken(situation, broken)
        case Paused():
            return _tell(situation, still(situation.status, Phase.PREPARING, validated=False), pursuit)
        case Suspended() as held:
            return _tell(situation, _suspended(held, Phase.PREPARING, validated=False), pursuit)
        case Waiting(reason, message) if reason is not Reason.STARTING:
            return _tell(situation, Report(Phase.PREPARING, reason, message), pursuit)
        case _:
            message = "Working out what model and suite contain."
            return _tell(situation, Report(Phase.PREPARING, Reason.PREPARING, message), pursuit)


def _evaluate(situation: Situation, digest: str | None) -> Plan:
    """`digest` is what prepare found; it can be unknown only while a Job is there that was told."""
    pursuit = _pursue(situation, Step.EVALUATE, digest or "")
    match pursuit.state:
        case Broken() as broken:
            return _broken(situation, broken)
        case Paused():
            return _tell(situation, still(situation.status, Phase.QUEUED, validated=True), pursuit)
        case Suspended() as held:
            return _tell(situation, _suspended(held, Phase.QUEUED, validated=True), pursuit, digest=digest)
        case Running() as running:
            report = Report(Phase.EVALUATING, Reason.RUNNING, f"Evaluating {running.where}.", validated=True)
            child = attempts.latest(situation.observed.children, situation.run.digest, Step.EVALUATE)
            progress = progress_of(child) or situation.status.progress
            return _tell(situation, report, pursuit, progress=progress, digest=digest)
        case Waiting(reason, message):
            return _tell(situation, Report(Phase.QUEUED, reason, message, validated=True), pursuit, digest=digest)
        case _:
            report = Report(Phase.QUEUED, Reason.STARTING, STARTING, validated=True)
            return _tell(situation, report, pursuit, digest=digest)


def _succeed(situation: Situation, result: EvaluateResult) -> Plan:
    message = f"Scored {sum(task.n for task in result.tasks)} examples in {result.seconds} s."
    report = Report(Phase.SUCCEEDED, Reason.EVALUATED, message, validated=True)
    folder = ClaimPath(claim_name=situation.claim, path=f"{situation.folder}/{Step.EVALUATE.value}")
    actions = _told(
        situation,
        report,
        run=lifecycle.ended(situation.run, situation.now),
        digest=result.digest,
        score=result.score,
        tasks=result.tasks,
        seconds=result.seconds,
        noise=result.noise,
        predictions=folder,
        progress=None,
    )
    return Plan(actions)


def _broken(situation: Situation, broken: Broken) -> Plan:
    """Another attempt after a pause, or the end."""
    retry = situation.spec.retry
    verdict = lifecycle.after(
        broken,
        situation.observed.evaluation.uid,
        situation.run,
        situation.status.failures,
        retry.limit,
        retry.backoff_seconds,
        situation.now,
    )
    validated = situation.status.digest is not None
    if verdict.final:
        report = failure_report(situation.observed.evaluation, Phase.FAILED, broken, validated)
        run = lifecycle.ended(verdict.run, situation.now)
        return Plan(_told(situation, report, run=run, failures=verdict.failures, progress=None))
    phase = Phase.QUEUED if validated and not broken.result_lost else Phase.PREPARING
    report = Report(phase, broken.reason, f"{broken.message} {attempt_follows(verdict.run)}", validated=validated)
    forgotten: Mapping[str, Any] = {"digest": None} if broken.result_lost else {}
    actions = _told(situation, report, run=verdict.run, failures=verdict.failures, **forgotten)
    return Plan(actions, lifecycle.pause_left(verdict.run, situation.now))


def _suspended(held: Suspended, queued: Phase, *, validated: bool) -> Report:
    if held.by_others:
        return Report(queued, held.reason, held.message, validated=validated)
    message = (
        "The pod is finishing its batch; then it ends."
        if held.stopping
        else "spec.suspend is true; set it to false to go on after the last finished example."
    )
    return Report(Phase.SUSPENDED, Reason.SUSPENDED, message, validated=validated)


def _tell(situation: Situation, report: Report, pursuit: Pursuit, /, **fields: Any) -> Plan:
    actions = _told(situation, report, run=situation.run, **fields)
    return Plan((*pursuit.before, *actions, *pursuit.actions), pursuit.look_again_seconds)


def _told(situation: Situation, report: Report, /, *, run: Run, **fields: Any) -> tuple[Action, ...]:
    scheduled = report.phase is Phase.EVALUATING or report.succeeded
    valid = True if report.validated else (False if report.failed else None)
    sound = (Reason.CONTENT_RESOLVED, "Model and suite are sound.")
    aspects = (
        Wanted(ConditionType.VALIDATED, valid, *(sound if valid else (report.reason, report.message))),
        Wanted(ConditionType.SCHEDULED, scheduled, Reason.RUNNING if scheduled else report.reason, report.message),
        Wanted(ConditionType.EVALUATED, report.succeeded, report.reason, report.message),
        *kueue.conditions(situation.observed.children, run, over=report.over),
    )
    report = replace(report, aspects=aspects)
    fields |= {"queue": place_of(situation.observed.place, report)}
    return told(situation.observed.evaluation, situation.status, run, report, situation.now, situation.course, **fields)


def _pursue(situation: Situation, step: Step, digest: str = "") -> Pursuit:
    return pursue(
        situation.observed.children,
        situation.run,
        step,
        lambda attempt: _job(situation, step, attempt, digest),
        situation.now,
        Hold(wanted=situation.spec.suspend, ours=situation.status.phase is Phase.SUSPENDED),
    )


def _job(situation: Situation, step: Step, attempt: int, digest: str) -> Mapping[str, Any]:
    spec, model = situation.spec, situation.model
    order = (
        orders.prepare_evaluation(spec, model, situation.folder)
        if step is Step.PREPARE
        else orders.evaluate(spec, model, digest, situation.folder)
    )
    resources = spec.resources if step is Step.EVALUATE else None
    workload = jobs.Workload(
        resources=resources,
        priority_class_name=spec.priority_class_name,
        image_pull_secrets=spec.image_pull_secrets,
        queue=queueing.queue_of(spec.queue_name, resources, situation.observed.settings),
    )
    return jobs.job(
        situation.observed.evaluation,
        situation.run.digest,
        step,
        attempt,
        order,
        volumes.mounts(situation.claim, *_sources(spec.model, model, spec.suite)),
        workload,
        situation.observed.settings,
    )


def _sources(
    under_test: ModelUnderTest, model: FineTunedModelSpec | None, suite: SuiteSource
) -> tuple[BaseModelSource | SuiteSource | ClaimPath, ...]:
    if model is not None:
        return model.base_model.source, model.adapter.persistent_volume_claim, suite
    assert under_test.base_model is not None, "the schema demands a model"
    return under_test.base_model, suite
