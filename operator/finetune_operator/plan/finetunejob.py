"""FineTuneJob: prepare, train, register, and, where the spec asks for it, compare with the base model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from finetune_api.conditions import ConditionType, FineTuneJobPhase, Reason
from finetune_api.finetunejob import FineTuneJobSpec, FineTuneJobStatus
from finetune_api.group import Step
from finetune_api.results import PrepareTrainingResult, TrainResult
from finetune_api.runs import Run, Summary
from finetune_api.sources import ClaimPath
from finetune_operator.digests import model_name
from finetune_operator.manifests import children as child_manifests
from finetune_operator.manifests import jobs, orders, volumes
from finetune_operator.observed import ObservedFineTuneJob
from finetune_operator.plan import attempts, lifecycle
from finetune_operator.plan.actions import NOTHING, Action, CreateChild, Plan
from finetune_operator.plan.attempts import Broken, Done, Running, Suspended, Waiting
from finetune_operator.plan.conditions import Wanted
from finetune_operator.plan.lifecycle import Course
from finetune_operator.plan.pursuit import Pursuit, progress_of, pursue, superseded_jobs
from finetune_operator.plan.reporting import Report, attempt_follows, failure_report, told
from finetune_operator.views import ComparisonResource, FineTunedModelResource

Phase = FineTuneJobPhase


@dataclass(frozen=True)
class Situation:
    """One reconcile's working set: what is observed, and the run that it is about."""

    observed: ObservedFineTuneJob
    course: Course[FineTuneJobSpec, FineTuneJobStatus]
    now: datetime

    @property
    def run(self) -> Run:
        return self.course.run

    @property
    def spec(self) -> FineTuneJobSpec:
        return self.course.spec

    @property
    def status(self) -> FineTuneJobStatus:
        return self.course.status

    @property
    def folder(self) -> str:
        return orders.run_folder(self.observed.job, self.run.digest)

    @property
    def claim(self) -> str:
        return volumes.artifacts_claim(self.spec.artifacts, self.observed.settings.default_artifacts_claim)

    @property
    def registered(self) -> FineTunedModelResource | None:
        """The model that this run left."""
        return next((m for m in self.observed.models if m.spec.fine_tune_job.run == self.run.digest), None)


def plan(observed: ObservedFineTuneJob, now: datetime) -> Plan:
    """What to do for a FineTuneJob now."""
    if observed.job.deleting:
        return NOTHING
    course = lifecycle.course_of(observed.job, observed.children, now)
    situation = Situation(observed, course, now)
    stale = superseded_jobs(observed.children, course.run.digest)
    decided = _after_the_end(situation) if course.status.phase in (Phase.SUCCEEDED, Phase.FAILED) else _work(situation)
    return replace(decided, actions=(*stale, *decided.actions))


def _work(situation: Situation) -> Plan:
    """The steps in their order. A training that is under way or done needs no preparation, whatever the status says."""
    training = attempts.state_of(situation.observed.children, situation.run.digest, Step.TRAIN, situation.run.attempt)
    situation = _with_preparation(situation)
    if isinstance(training, Done) and isinstance(training.result, TrainResult) and _is_prepared(situation):
        return _register(situation, training.result)
    if isinstance(training, Running | Waiting | Suspended | Broken) or _is_prepared(situation):
        return _train(situation)
    return _prepare(situation)


def _is_prepared(situation: Situation) -> bool:
    return situation.status.plan is not None and situation.status.dataset is not None


def _with_preparation(situation: Situation) -> Situation:
    """The status with what prepare found, as soon as its pod told."""
    if _is_prepared(situation):
        return situation
    state = attempts.state_of(situation.observed.children, situation.run.digest, Step.PREPARE, situation.run.attempt)
    if not isinstance(state, Done) or not isinstance(state.result, PrepareTrainingResult):
        return situation
    found = {
        "dataset": state.result.dataset,
        "plan": state.result.plan,
        "base_model_digest": state.result.base_model_digest,
    }
    return replace(situation, course=replace(situation.course, status=situation.status.model_copy(update=found)))


def _prepare(situation: Situation) -> Plan:
    pursuit = pursue(
        situation.observed.children,
        situation.run,
        Step.PREPARE,
        lambda attempt: _job(situation, Step.PREPARE, attempt),
        situation.now,
        suspend=situation.spec.suspend,
    )
    match pursuit.state:
        case Broken() as broken:
            return _broken(situation, broken)
        case Suspended() as held:
            return _tell(situation, _suspended(held), pursuit)
        case Waiting(reason, message) if reason is not Reason.STARTING:
            return _tell(situation, Report(Phase.PREPARING, reason, message), pursuit)
        case _:
            message = "Checking dataset and model, and planning the training."
            return _tell(situation, Report(Phase.PREPARING, Reason.PREPARING, message), pursuit)


def _train(situation: Situation) -> Plan:
    trained = _found_on_the_volume(situation)
    if trained is not None:
        return _register(situation, trained)
    pursuit = pursue(
        situation.observed.children,
        situation.run,
        Step.TRAIN,
        lambda attempt: _job(situation, Step.TRAIN, attempt),
        situation.now,
        suspend=situation.spec.suspend,
    )
    match pursuit.state:
        case Broken() as broken:
            return _broken(situation, broken)
        case Suspended() as held:
            return _tell(situation, _suspended(held), pursuit)
        case Running(pod):
            report = Report(Phase.TRAINING, Reason.RUNNING, f"Training on node {pod.node}.", validated=True)
            child = attempts.latest(situation.observed.children, situation.run.digest, Step.TRAIN)
            return _tell(situation, report, pursuit, progress=progress_of(child) or situation.status.progress)
        case Waiting(reason, message):
            return _tell(situation, Report(Phase.QUEUED, reason, message, validated=True), pursuit)
        case _:
            message = "The plan is made; the training pod is being asked for."
            return _tell(situation, Report(Phase.QUEUED, Reason.STARTING, message, validated=True), pursuit)


def _found_on_the_volume(situation: Situation) -> TrainResult | None:
    """A training that was finished before, as prepare of this attempt, or of an earlier one, found it."""
    state = attempts.state_of(situation.observed.children, situation.run.digest, Step.PREPARE, situation.run.attempt)
    if isinstance(state, Done) and isinstance(state.result, PrepareTrainingResult):
        return state.result.trained
    return None


def _register(situation: Situation, trained: TrainResult) -> Plan:
    """The registry entry first; the job has succeeded only when it is there."""
    name = model_name(situation.observed.job.key.name, situation.observed.job.uid, situation.run.digest)
    if situation.registered is None and name in situation.observed.name_takers:
        message = f"A FineTunedModel named {name} exists and is not of this job: delete or rename it."
        return _broken(situation, Broken(Reason.NAME_CONFLICT, message, retry=False))
    if situation.registered is None:
        return Plan((CreateChild(_model(situation, trained)),))
    message = f"Trained {trained.training.steps} steps; registered as FineTunedModel {name}."
    report = Report(Phase.SUCCEEDED, Reason.TRAINED, message, validated=True)
    run = lifecycle.ended(situation.run, situation.now)
    fields = {"training": trained.training, "fine_tuned_model": name, "progress": None}
    return Plan(_told(situation, report, run=run, **fields))


def _broken(situation: Situation, broken: Broken) -> Plan:
    """Another attempt after a pause, or the end."""
    retry = situation.spec.retry
    verdict = lifecycle.after(
        broken, situation.run, situation.status.failures, retry.limit, retry.backoff_seconds, situation.now
    )
    if verdict.final:
        report = failure_report(situation.observed.job, Phase.FAILED, broken, _is_prepared(situation))
        run = lifecycle.ended(verdict.run, situation.now)
        return Plan(_told(situation, report, run=run, failures=verdict.failures, progress=None))
    prepared = _is_prepared(situation)
    phase = Phase.QUEUED if prepared and not broken.result_lost else Phase.PREPARING
    report = Report(phase, broken.reason, f"{broken.message} {attempt_follows(verdict.run)}", validated=prepared)
    forgotten: Mapping[str, Any] = {"dataset": None, "plan": None} if broken.result_lost else {}
    actions = _told(situation, report, run=verdict.run, failures=verdict.failures, **forgotten)
    return Plan(actions, lifecycle.pause_left(verdict.run, situation.now))


def _suspended(held: Suspended) -> Report:
    message = (
        "The pod is saving a checkpoint; then it ends."
        if held.stopping
        else "spec.suspend is true; set it to false to go on from the last checkpoint."
    )
    return Report(Phase.SUSPENDED, Reason.SUSPENDED, message)


def _after_the_end(situation: Situation) -> Plan:
    """A finished job changes no more; only its follow-up, and what came of it, are looked after."""
    status = situation.status
    if status.phase is not Phase.SUCCEEDED:
        return NOTHING
    follow_up = model_name(situation.observed.job.key.name, situation.observed.job.uid, situation.run.digest)
    wanted = situation.spec.evaluation is not None and status.comparison is None
    ours = next((c for c in situation.observed.comparisons if c.key.name == follow_up), None)
    if wanted and ours is None and follow_up not in situation.observed.name_takers:
        manifest = child_manifests.follow_up_comparison(situation.observed.job, situation.run.digest, situation.spec)
        return Plan((CreateChild(manifest),))
    name = status.comparison or (follow_up if wanted and ours is not None else None)
    summary = _summary(situation) or status.summary
    trained = Report(Phase.SUCCEEDED, Reason.TRAINED, _message(status), validated=True)
    return Plan(_told(situation, trained, run=situation.run, comparison=name, summary=summary))


def _message(status: FineTuneJobStatus) -> str:
    complete = [item.message for item in status.conditions if item.type == ConditionType.COMPLETE]
    return complete[0] if complete else ""


def _scored_by(situation: Situation) -> ComparisonResource | None:
    """The Comparison of this run that ended well; the first by name where several did."""
    ended = [
        comparison
        for comparison in situation.observed.comparisons
        if comparison.status.summary is not None
        and any(candidate.run == situation.run.digest for candidate in comparison.status.candidates)
    ]
    return min(ended, key=lambda comparison: comparison.key.name, default=None)


def _summary(situation: Situation) -> Summary | None:
    comparison = _scored_by(situation)
    return comparison.status.summary if comparison is not None else None


def _tell(situation: Situation, report: Report, pursuit: Pursuit, **fields: Any) -> Plan:
    actions = (*pursuit.actions, *_told(situation, report, run=situation.run, **fields))
    return Plan(actions, pursuit.look_again_seconds)


def _told(situation: Situation, report: Report, *, run: Run, **fields: Any) -> tuple[Action, ...]:
    report = replace(report, aspects=tuple(_aspects(situation, report)))
    return told(situation.observed.job, situation.status, run, report, situation.now, situation.course, **fields)


def _aspects(situation: Situation, report: Report) -> list[Wanted]:
    """Validated, Scheduled, Trained and, where asked for, Evaluated."""
    refused = report.failed and not report.validated
    valid = True if report.validated else (False if refused else None)
    scheduled = report.phase is Phase.TRAINING or report.succeeded
    found = (Reason.DATASET_VALID, "Dataset and model are sound.")
    aspects = [
        Wanted(ConditionType.VALIDATED, valid, *(found if valid else (report.reason, report.message))),
        Wanted(ConditionType.SCHEDULED, scheduled, *_while(scheduled, Reason.RUNNING, report)),
        Wanted(ConditionType.TRAINED, report.succeeded, *_while(report.succeeded, Reason.TRAINED, report)),
    ]
    if situation.spec.evaluation is not None:
        comparison = _scored_by(situation)
        aspects.append(_evaluated(comparison))
    return aspects


def _while(holds: bool, reason: Reason, report: Report) -> tuple[Reason, str]:
    return (reason, "") if holds else (report.reason, report.message)


def _evaluated(comparison: ComparisonResource | None) -> Wanted:
    if comparison is None:
        message = "The Comparison with the base model follows, or is under way."
        return Wanted(ConditionType.EVALUATED, False, Reason.WAITING_FOR_EVALUATIONS, message)
    return Wanted(ConditionType.EVALUATED, True, Reason.EVALUATED, f"See Comparison {comparison.key.name}.")


def _job(situation: Situation, step: Step, attempt: int) -> Mapping[str, Any]:
    spec, settings = situation.spec, situation.observed.settings
    order = (
        orders.prepare_training(spec, situation.folder)
        if step is Step.PREPARE
        else orders.train(spec, situation.folder)
    )
    sources = (spec.base_model, spec.dataset) if step is Step.PREPARE else (spec.base_model,)
    workload = jobs.Workload(
        resources=spec.resources if step is Step.TRAIN else None,
        priority_class_name=spec.priority_class_name,
        image_pull_secrets=spec.image_pull_secrets,
    )
    return jobs.job(
        situation.observed.job,
        situation.run.digest,
        step,
        attempt,
        order,
        volumes.mounts(situation.claim, *sources),
        workload,
        settings,
    )


def _model(situation: Situation, trained: TrainResult) -> Mapping[str, Any]:
    status = situation.status
    assert status.dataset is not None and status.plan is not None, "only registered after prepare"
    return child_manifests.fine_tuned_model(
        situation.observed.job,
        situation.run.digest,
        situation.spec,
        status.dataset,
        status.plan,
        status.base_model_digest or "",
        trained,
        ClaimPath(claim_name=situation.claim, path=f"{situation.folder}/{trained.adapter_path}"),
        situation.observed.settings.trainer_image,
    )
