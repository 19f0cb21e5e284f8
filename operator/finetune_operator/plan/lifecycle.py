"""Runs: when one begins, which spec it is bound to, what a failure costs it, and where an old one goes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from finetune_api.fields import ApiModel
from finetune_api.runs import PastRun, Run
from finetune_operator.digests import RELEVANT_FIELDS, frozen_spec, run_digest
from finetune_operator.plan.attempts import Broken
from finetune_operator.plan.conditions import timestamp
from finetune_operator.views import Children, Resource

HISTORY_LIMIT = 10
LONGEST_BACKOFF_SECONDS = 3600

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
    or the one that children tell of when the status was lost."""
    status: Any = resource.status
    wanted = run_digest(resource.key.kind, resource.spec, resource.rerun)
    run: Run | None = status.run
    finished = status.phase is not None and status.phase.value in FINISHED
    if run is None or (finished and run.digest != wanted):
        return _new_course(resource, children, wanted, now)
    if finished and _tried_again(resource, status):
        return _continued(resource, run)
    return Course(run, _bound_spec(resource, run), resource.status, change_pending=run.digest != wanted)


def _new_course(
    resource: Resource[Spec, Status], children: Children, digest: str, now: datetime
) -> Course[Spec, Status]:
    run = Run(
        digest=digest,
        started_at=timestamp(now),
        attempt=max(1, children.attempts(digest)),
        spec=frozen_spec(resource.key.kind, resource.spec),
    )
    empty = type(resource.status)(history=_history(resource.status))
    return Course(run, resource.spec, empty, change_pending=False)


def _tried_again(resource: Resource[Spec, Status], status: Any) -> bool:
    """A failed run goes on, from its checkpoints, when the spec is edited afterwards: more memory, say."""
    return bool(status.phase.value == "Failed" and resource.generation > status.observed_generation >= 0)


def _continued(resource: Resource[Spec, Status], run: Run) -> Course[Spec, Status]:
    again = run.model_copy(update={"attempt": run.attempt + 1, "finished_at": None, "not_before": None})
    status = resource.status.model_copy(update={"phase": None, "failures": 0, "conditions": (), "progress": None})
    return Course(again, _bound_spec(resource, again), status, change_pending=False)


def _bound_spec(resource: Resource[Spec, Status], run: Run) -> Spec:
    """The frozen fields as the run knows them, the others as they are now."""
    unbound = resource.spec.model_dump(mode="json", by_alias=True, exclude=set(RELEVANT_FIELDS[resource.key.kind]))
    return type(resource.spec).model_validate({**unbound, **(run.spec or {})})


def _history(status: Any) -> tuple[PastRun, ...]:
    """Earlier runs with the one that ended last in front."""
    if status.run is None or status.phase is None:
        return tuple(status.history)
    reasons = [item.reason for item in status.conditions if item.type in ("Failed", "Complete")]
    reason = reasons[0] if reasons else status.phase.value
    past = PastRun(
        digest=status.run.digest,
        phase=status.phase.value,
        reason=reason,
        finished_at=status.run.finished_at,
        fine_tuned_model=getattr(status, "fine_tuned_model", None),
    )
    others = [item for item in status.history if item.digest != past.digest]
    return (past, *others)[:HISTORY_LIMIT]


@dataclass(frozen=True)
class Retry:
    """What follows a broken attempt: another one after a pause, or the end."""

    run: Run
    failures: int
    final: bool


def after(broken: Broken, run: Run, failures: int, limit: int, backoff_seconds: int, now: datetime) -> Retry:
    """Whether there is another attempt. Pauses double with each counted failure."""
    counted = failures + (1 if broken.counted else 0)
    if not broken.retry or counted > limit:
        return Retry(run, counted if broken.retry else failures, final=True)
    pause = min(backoff_seconds * 2 ** max(0, counted - 1), LONGEST_BACKOFF_SECONDS) if broken.counted else 0
    later = timestamp(now + timedelta(seconds=pause)) if pause else None
    return Retry(run.model_copy(update={"attempt": run.attempt + 1, "not_before": later}), counted, final=False)


def pause_left(run: Run, now: datetime) -> float:
    """Seconds until the attempt may start."""
    if run.not_before is None:
        return 0.0
    return max(0.0, (datetime.fromisoformat(run.not_before) - now).total_seconds())


def ended(run: Run, now: datetime) -> Run:
    return run.model_copy(update={"finished_at": run.finished_at or timestamp(now)})
