"""Runs: when one begins, which spec it is bound to, what a failure costs it, and where an old one goes."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from finetune_api.fields import ApiModel
from finetune_api.group import Step
from finetune_api.runs import PastRun, Run
from finetune_operator.digests import BOUND_FIELDS, frozen_spec, run_digest
from finetune_operator.plan.backoff import pause_seconds
from finetune_operator.plan.conditions import timestamp
from finetune_operator.plan.outcomes import Broken
from finetune_operator.views import Children, JobState, Resource

HISTORY_LIMIT = 10

Spec = TypeVar("Spec", bound=ApiModel)
Status = TypeVar("Status", bound=ApiModel)


@dataclass(frozen=True)
class Course(Generic[Spec, Status]):
    """The run that a reconcile works on."""

    run: Run
    spec: Spec
    """The spec that the run is bound to, with the fields that act at once as they are now."""
    status: Status
    """What stood in the status of this run before; empty for a new run."""
    change_pending: bool
    """The spec was changed in a way that needs a run of its own, which waits for the end of this one."""


FINISHED = frozenset({"Succeeded", "Failed"})


def course_of(resource: Resource[Spec, Status], children: Children, now: datetime) -> Course[Spec, Status]:
    """The current run: the one in the status, a new one when the spec wants another and that one has ended,
    or, when the status was lost, the one that the spec names, at the attempt that its children have reached."""
    status: Any = resource.status
    wanted = run_digest(resource.key.kind, resource.spec, resource.rerun)
    run: Run | None = status.run
    finished = status.phase is not None and status.phase.value in FINISHED
    if run is None:
        return _new_course(resource, wanted, _attempt_after_a_loss(children, wanted), now)
    if finished and run.digest != wanted:
        return _new_course(resource, wanted, _attempt_of_a_repeated_run(children, wanted), now)
    if finished and _tried_again(resource, status):
        return _continued(resource, run, now)
    if not finished and _nothing_to_lose(resource, children, run.digest != wanted):
        return _begun_anew(resource, children, wanted, now)
    attempt = max(run.attempt, children.attempts(run.digest))
    if not finished and _edited(resource) and _can_be_replaced(resource, children, run):
        attempt += 1  # the waiting Job cannot be edited: one with the new resources takes its place
    reached = run.model_copy(update={"attempt": attempt})
    return Course(reached, _bound_spec(resource, run), resource.status, change_pending=run.digest != wanted)


def _attempt_after_a_loss(children: Children, digest: str) -> int:
    """A status is told before the first Job is made: where there are Jobs and no status, it was lost. What prepare
    alone found then is old: the work may have been done since, and its Job deleted."""
    last = children.attempts(digest)
    prepared = all(item.job.owned.step is Step.PREPARE for item in children.at(digest, last))
    ended = all(item.job.state is JobState.COMPLETE for item in children.at(digest, last))
    return last + 1 if last == 0 or (prepared and ended) else last


def _attempt_of_a_repeated_run(children: Children, digest: str) -> int:
    """A run that is asked for once more, since the spec was changed back, does not end with its old failure."""
    last = children.attempts(digest)
    failed = any(item.job.state is JobState.FAILED for item in children.at(digest, last))
    return last + 1 if failed else _attempt_after_a_loss(children, digest)


def _new_course(resource: Resource[Spec, Status], digest: str, attempt: int, now: datetime) -> Course[Spec, Status]:
    frozen = frozen_spec(resource.key.kind, resource.spec)
    run = Run(digest=digest, started_at=timestamp(now), attempt=attempt, spec=frozen)
    empty = type(resource.status)(history=_history(resource.status, digest))
    return Course(run, resource.spec, empty, change_pending=False)


def _edited(resource: Resource[Spec, Status]) -> bool:
    status: Any = resource.status
    return bool(resource.generation > status.observed_generation >= 0)


def _can_be_replaced(resource: Resource[Spec, Status], children: Children, run: Run) -> bool:
    """Whether the latest Job only waits. One that shall be held keeps its place in Kueue's queue."""
    if getattr(resource.spec, "suspend", False) and children.is_queued(run.digest):
        return False
    return children.waits_unstarted(run.digest) or children.waits_for_quota(run.digest)


def _nothing_to_lose(resource: Resource[Spec, Status], children: Children, another_run: bool) -> bool:
    """A run of which nothing ever started gives way to an edit at once: it may be waiting for a claim that the edit
    spells right, and would wait for ever."""
    status: Any = resource.status
    return (another_run or _edited(resource)) and not children.anything_started(status.run.digest)


def _begun_anew(
    resource: Resource[Spec, Status], children: Children, digest: str, now: datetime
) -> Course[Spec, Status]:
    """A new course without a past: what never started is not history."""
    course = _new_course(resource, digest, children.attempts(digest) + 1, now)
    history = tuple(item for item in getattr(resource.status, "history", ()) if item.digest != digest)
    return replace(course, status=course.status.model_copy(update={"history": history}))


def _tried_again(resource: Resource[Spec, Status], status: Any) -> bool:
    """A failed run goes on, from its checkpoints, when the spec is edited afterwards: more memory, say."""
    return bool(status.phase.value == "Failed" and _edited(resource))


def _continued(resource: Resource[Spec, Status], run: Run, now: datetime) -> Course[Spec, Status]:
    """It starts anew in every way but its work: what failed before now is no reason to fail again."""
    fresh = {"attempt": run.attempt + 1, "started_at": timestamp(now), "finished_at": None, "not_before": None}
    again = run.model_copy(update=fresh)
    status = resource.status.model_copy(update={"phase": None, "failures": 0, "conditions": (), "progress": None})
    return Course(again, _bound_spec(resource, again), status, change_pending=False)


def _bound_spec(resource: Resource[Spec, Status], run: Run) -> Spec:
    """The frozen fields as the run knows them, the others as they are now."""
    unbound = resource.spec.model_dump(mode="json", by_alias=True, exclude=set(BOUND_FIELDS[resource.key.kind]))
    return type(resource.spec).model_validate({**unbound, **(run.spec or {})})


def _history(status: Any, current: str) -> tuple[PastRun, ...]:
    """Earlier runs with the one that ended last in front; the one that begins is none of them."""
    earlier = tuple(item for item in status.history if item.digest != current)
    if status.run is None or status.phase is None:
        return earlier
    reasons = [item.reason for item in status.conditions if item.type in ("Failed", "Complete")]
    reason = reasons[0] if reasons else status.phase.value
    past = PastRun(
        digest=status.run.digest,
        phase=status.phase.value,
        reason=reason,
        finished_at=status.run.finished_at,
        fine_tuned_model=getattr(status, "fine_tuned_model", None),
    )
    others = [item for item in earlier if item.digest != past.digest]
    return (past, *others)[:HISTORY_LIMIT]


@dataclass(frozen=True)
class Retry:
    """What follows a broken attempt: another one after a pause, or the end."""

    run: Run
    failures: int
    final: bool


def after(broken: Broken, uid: str, run: Run, failures: int, limit: int, backoff_seconds: int, now: datetime) -> Retry:
    """Whether the resource of this uid gets another attempt. Pauses double with each counted failure; those that are
    not counted, with each attempt."""
    counted = failures + (1 if broken.counted else 0)
    if not broken.retry:
        return Retry(run, failures, final=True)
    if broken.counted and counted > limit:
        return Retry(run, counted, final=True)
    in_a_row = counted if broken.counted else run.attempt
    pause = pause_seconds(backoff_seconds, in_a_row, uid, run.attempt) if broken.pauses else 0
    later = timestamp(now + timedelta(seconds=pause)) if pause else None
    return Retry(run.model_copy(update={"attempt": run.attempt + 1, "not_before": later}), counted, final=False)


def pause_left(run: Run, now: datetime) -> float:
    """Seconds until the attempt may start."""
    if run.not_before is None:
        return 0.0
    return max(0.0, (datetime.fromisoformat(run.not_before) - now).total_seconds())


def ended(run: Run, now: datetime) -> Run:
    return run.model_copy(update={"finished_at": run.finished_at or timestamp(now)})
