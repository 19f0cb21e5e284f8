"""FineTuneJob: prepare, train, register, and, where the spec asks for it, compare with the base model."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from finetune_api.conditions import ConditionType, FineTuneJobPhase, Reason
from finetune_api.group import Step
from finetune_api.results import PrepareTrainingResult, TrainResult
from finetune_api.runs import Run
from finetune_operator.manifests.object_storage import credentials_of as storage_credentials
from finetune_operator.manifests.tracking import credentials_of as tracking_credentials
from finetune_operator.observed import ObservedFineTuneJob
from finetune_operator.plan import (
    deadline,
    follow_up,
    kueue,
    lifecycle,
    object_storage,
    replicates,
    secrets,
    tracking,
    training_report,
)
from finetune_operator.plan.actions import NOTHING, Action, Plan
from finetune_operator.plan.attempts import Done, Paused, Running, Suspended, Waiting
from finetune_operator.plan.conditions import Wanted
from finetune_operator.plan.creation import create
from finetune_operator.plan.finetunejob_situation import (
    Situation,
    prepare_job,
    registry_entry,
    train_job,
    train_needs,
)
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
from finetune_operator.plan.reporting import Report, attempt_follows, failure_report, place_of, still, told
from finetune_operator.plan.waiting import STARTING
from finetune_operator.views import FineTunedModelResource

Phase = FineTuneJobPhase


def plan(observed: ObservedFineTuneJob, now: datetime) -> Plan:
    """What to do for a FineTuneJob now."""
    if observed.job.deleting:
        return NOTHING
    course = lifecycle.course_of(observed.job, observed.children, now)
    situation = Situation(observed, course, now)
    stale = (*superseded_jobs(observed.children, course.run), *replicates.superseded(observed, course.run))
    ended = course.status.phase in (Phase.SUCCEEDED, Phase.FAILED)
    decided = _after_the_end(situation) if ended else _work(situation.with_attempts())
    boosts = kueue.boosts(observed.children, course.run, observed.settings)
    orphans = orphaned_jobs(observed.children, observed.job)
    expired = expired_jobs(observed.children, observed.job.spec.ttl_seconds_after_finished) if ended else ()
    return replace(decided, actions=(*decided.actions, *boosts, *stale, *orphans, *expired))


def _work(situation: Situation) -> Plan:
    """The steps in their order. A training that is under way needs no preparation, whatever the status says."""
    if situation.spec.training.seeds is not None:
        return _replicate(situation)
    situation = _with_preparation(situation).with_placement()
    match situation.state(Step.TRAIN):
        case Done(TrainResult() as trained) if situation.prepared:
            return _register(situation, trained)
        case Running() | Waiting() | Suspended() | Broken():
            return _train(situation)
    refused = tracking.refusal(situation) or object_storage.refusal(situation)
    refused = refused or kueue.refusal(situation.spec.queue_name, situation.observed.settings)
    if refused is not None:
        return _broken(situation, refused)
    if situation.is_planned_for_other_gpus:
        situation = situation.planned_anew()
    return _train(situation) if situation.prepared else _prepare(situation)


def _replicate(situation: Situation) -> Plan:
    """Others train, one for each seed."""
    standing = replicates.stand(situation)
    over = standing.report.succeeded or standing.report.failed
    run = lifecycle.ended(situation.run, situation.now) if over else situation.run
    fields = {"replicates": standing.replicates, "progress": standing.progress}
    actions = _told(situation, standing.report, run=run, **fields)
    return Plan((*actions, *standing.actions), standing.look_again_seconds)


def _with_preparation(situation: Situation) -> Situation:
    """The status with what prepare found, as soon as its pod told."""
    if situation.prepared:
        return situation
    match situation.state(Step.PREPARE):
        case Done(PrepareTrainingResult() as result):
            dataset = result.dataset.model_copy(update={"report": situation.on_the_volume(result.report_path)})
            found = {"dataset": dataset, "plan": result.plan, "base_model_digest": result.base_model_digest}
            status = situation.status.model_copy(update=found)
            return replace(situation, course=replace(situation.course, status=status))
    return situation


def _prepare(situation: Situation) -> Plan:
    pursuit = _pursue(situation, Step.PREPARE)
    match pursuit.state:
        case Broken() as broken:
            return _broken(situation, broken)
        case Paused():
            return _tell(situation, still(situation.status, Phase.PREPARING, validated=False), pursuit)
        case Suspended() as held:
            return _tell(situation, _suspended(held, Phase.PREPARING, validated=False), pursuit)
        case Waiting(reason) as waiting if reason is not Reason.STARTING:
            waiting = secrets.naming_the_secret(waiting, storage_credentials(situation.spec.dataset))
            return _tell(situation, Report(Phase.PREPARING, reason, waiting.message), pursuit)
        case _:
            message = "Checking dataset and model, and planning the training."
            return _tell(situation, Report(Phase.PREPARING, Reason.PREPARING, message), pursuit)


def _train(situation: Situation) -> Plan:
    trained = _found_on_the_volume(situation)
    if trained is not None:
        return _register(situation, trained)
    pursuit = _pursue(situation, Step.TRAIN)
    match pursuit.state:
        case Broken() as broken:
            return _broken(situation, broken)
        case Paused():
            return _tell(situation, still(situation.status, Phase.QUEUED, validated=True), pursuit)
        case Suspended() as held:
            return _tell(situation, _suspended(held, Phase.QUEUED, validated=True), pursuit)
        case Running() as running:
            child = situation.latest(Step.TRAIN)
            said = child.progress if child is not None else None
            report = training_report.working(running, said, situation.spec.guard)
            return _tell(situation, report, pursuit, progress=progress_of(child) or situation.status.progress)
        case Waiting() as waiting:
            waiting = secrets.naming_the_secret(waiting, tracking_credentials(situation.spec.tracking))
            return _tell(situation, training_report.queued(waiting, situation.status.plan), pursuit)
        case _:
            return _tell(situation, Report(Phase.QUEUED, Reason.STARTING, STARTING, validated=True), pursuit)


def _pursue(situation: Situation, step: Step) -> Pursuit:
    make, needs = (prepare_job, ()) if step is Step.PREPARE else (train_job, train_needs(situation))
    return pursue(
        situation.observed.children,
        situation.run,
        step,
        lambda attempt: make(situation, attempt),
        situation.now,
        Hold(wanted=situation.spec.suspend, ours=situation.status.phase is Phase.SUSPENDED),
        needs,
    )


def _found_on_the_volume(situation: Situation) -> TrainResult | None:
    """A training that was finished before, as prepare found it."""
    match situation.state(Step.PREPARE):
        case Done(PrepareTrainingResult(trained=TrainResult() as trained)):
            return trained
    return None


def _register(situation: Situation, trained: TrainResult) -> Plan:
    """The registry entry first; the job has succeeded only when it is there."""
    namesake = situation.namesake
    if namesake is None:
        return _register_model(situation, trained)
    if not _is_of_this_run(namesake, situation):
        message = f"A FineTunedModel named {situation.name} exists and is not of this job: delete or rename it."
        return _broken(situation, Broken(Reason.NAME_CONFLICT, message, retry=False))
    message = f"Trained {trained.training.steps} steps; registered as FineTunedModel {situation.name}."
    report = Report(Phase.SUCCEEDED, Reason.TRAINED, message, validated=True)
    run = lifecycle.ended(situation.run, situation.now)
    fields = {"training": trained.training, "fine_tuned_model": situation.name, "progress": None}
    return Plan(_told(situation, report, run=run, failed_attempts_energy_kwh=None, **fields))


def _is_of_this_run(model: FineTunedModelResource, situation: Situation) -> bool:
    origin = model.spec.fine_tune_job
    return bool(origin.uid == situation.observed.job.uid and origin.run == situation.run.digest)


def _register_model(situation: Situation, trained: TrainResult) -> Plan:
    creation = create(situation.observed.children, situation.run, registry_entry(situation, trained), situation.now)
    if creation.conflict is not None:
        return _broken(situation, creation.conflict)
    if creation.obstacle is None:
        return Plan(creation.actions)
    phase = situation.status.phase or Phase.PREPARING
    report = Report(phase, creation.obstacle.reason, creation.obstacle.message, validated=True)
    return Plan((*_told(situation, report, run=situation.run), *creation.actions), creation.look_again_seconds)


def _broken(situation: Situation, broken: Broken) -> Plan:
    """Another attempt after a pause, or the end."""
    broken = deadline.unless_raised(broken, situation.spec.deadline_seconds)
    retry = situation.spec.retry
    verdict = lifecycle.after(
        broken,
        situation.observed.job.uid,
        situation.run,
        situation.status.failures,
        retry.limit,
        retry.backoff_seconds,
        situation.now,
    )
    prepared = situation.prepared
    spent = {"failed_attempts_energy_kwh": broken.energy_kwh or situation.status.failed_attempts_energy_kwh}
    if verdict.final:
        report = failure_report(situation.observed.job, Phase.FAILED, broken, prepared)
        run = lifecycle.ended(verdict.run, situation.now)
        return Plan(_told(situation, report, run=run, failures=verdict.failures, progress=None, **spent))
    phase = Phase.QUEUED if prepared and not broken.result_lost else Phase.PREPARING
    report = Report(phase, broken.reason, f"{broken.message} {attempt_follows(verdict.run)}", validated=prepared)
    forgotten: Mapping[str, Any] = {"dataset": None, "plan": None} if broken.result_lost else {}
    actions = _told(situation, report, run=verdict.run, failures=verdict.failures, **forgotten, **spent)
    return Plan(actions, lifecycle.pause_left(verdict.run, situation.now))


def _suspended(held: Suspended, queued: Phase, *, validated: bool) -> Report:
    if held.by_others:
        return Report(queued, held.reason, held.message, validated=validated)
    message = (
        "The pod is saving a checkpoint; then it ends."
        if held.stopping
        else "spec.suspend is true; set it to false to go on from the last checkpoint."
    )
    return Report(Phase.SUSPENDED, Reason.SUSPENDED, message, validated=validated)


def _after_the_end(situation: Situation) -> Plan:
    """A finished job changes no more; only its follow-up, and what came of it, are looked after."""
    status = situation.status
    if status.phase is not Phase.SUCCEEDED:
        return NOTHING
    following = follow_up.look(situation.observed, situation.run, situation.spec, status.comparison, situation.now)
    complete = next((item.message for item in status.conditions if item.type == ConditionType.COMPLETE), "")
    report = Report(Phase.SUCCEEDED, Reason.TRAINED, complete, validated=True)
    fields = {"comparison": following.name, "summary": following.summary or status.summary}
    actions = _told(situation, report, run=situation.run, **fields)
    return Plan((*actions, *following.actions), following.look_again_seconds)


def _tell(situation: Situation, report: Report, pursuit: Pursuit, /, **fields: Any) -> Plan:
    actions = _told(situation, report, run=situation.run, **fields)
    return Plan((*pursuit.before, *actions, *pursuit.actions), pursuit.look_again_seconds)


def _told(situation: Situation, report: Report, /, *, run: Run, **fields: Any) -> tuple[Action, ...]:
    report = replace(report, aspects=tuple(_aspects(situation, report)))
    fields |= {"queue": place_of(situation.observed.place, report)}
    return told(situation.observed.job, situation.status, run, report, situation.now, situation.course, **fields)


def _aspects(situation: Situation, report: Report) -> list[Wanted]:
    """Validated, Scheduled, Trained and, where asked for, Evaluated."""
    refused = report.failed and not report.validated
    valid = True if report.validated else (False if refused else None)
    scheduled = report.phase is Phase.TRAINING or report.succeeded
    at_work = Reason.RUNNING if report.succeeded else report.reason
    found = (Reason.DATASET_VALID, "Dataset and model are sound.")
    aspects = [
        Wanted(ConditionType.VALIDATED, valid, *(found if valid else (report.reason, report.message))),
        Wanted(ConditionType.SCHEDULED, scheduled, *_while(scheduled, at_work, report)),
        Wanted(ConditionType.TRAINED, report.succeeded, *_while(report.succeeded, Reason.TRAINED, report)),
    ]
    if situation.spec.evaluation is not None:
        status = situation.status
        following = follow_up.look(situation.observed, situation.run, situation.spec, status.comparison, situation.now)
        aspects.append(following.evaluated)
    return [*aspects, *kueue.conditions(situation.observed.children, situation.run, over=report.over)]


def _while(holds: bool, reason: Reason, report: Report) -> tuple[Reason, str]:
    return (reason, "") if holds else (report.reason, report.message)
