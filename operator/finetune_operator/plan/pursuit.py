"""What every kind does alike with a step: make its Job, hold it, let it go, and count its failures."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from finetune_api.conditions import Reason
from finetune_api.durations import duration
from finetune_api.group import Step
from finetune_api.runs import Progress, Run
from finetune_operator.manifests.ownership import owner_reference
from finetune_operator.plan import attempts, kueue, lifecycle
from finetune_operator.plan.actions import Action, ActivateWorkload, DeleteJob, ExpireJob, OwnJob, SuspendJob
from finetune_operator.plan.attempts import Absent, Paused, State, Suspended, Waiting
from finetune_operator.plan.creation import create
from finetune_operator.views import AnyResource, Child, Children, JobState

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Pursuit:
    """How a step stands after what can be done about it now was asked for."""

    state: State
    actions: tuple[Action, ...] = ()
    """To do once the status is told. So a status that is missing beside Jobs was lost, a Job that is held is known to
    be held by this resource, and nothing is done on the word of a status that somebody has changed meanwhile."""
    before: tuple[Action, ...] = ()
    """To do before: while the status tells that a Job is held, it can be let go."""
    look_again_seconds: float | None = None


@dataclass(frozen=True)
class Hold:
    """Whether the spec wants the work held, and whether it was this resource that held it."""

    wanted: bool = False
    ours: bool = False


def pursue(
    children: Children,
    run: Run,
    step: Step,
    manifest: Callable[[int], Manifest],
    now: datetime,
    hold: Hold,
    needs: tuple[Manifest, ...] = (),
) -> Pursuit:
    """`manifest` makes the Job of an attempt; it is asked only when one is to be made, and what it needs before it."""
    state = attempts.state_of(children, run.digest, step, run.attempt, now)
    if isinstance(state, Absent):
        return _start(children, run, manifest, now, hold, needs)
    child = attempts.latest(children, run.digest, step)
    if child is not None and child.job.state is JobState.ACTIVE and not child.job.deleting:
        return _in_kueues_hands(state, child, hold) if child.job.queue else _held_or_let_go(state, child, hold)
    return Pursuit(state, look_again_seconds=state.look_again_seconds if isinstance(state, Waiting) else None)


def _held_or_let_go(state: State, child: Child, hold: Hold) -> Pursuit:
    """A Job that a person holds is left alone."""
    job = child.job
    if hold.wanted and not job.suspended and not isinstance(state, attempts.Done):
        return Pursuit(Suspended(stopping=child.has_living_pods), (SuspendJob(job.name, job.uid, True),))
    if not isinstance(state, Suspended) or hold.wanted:
        return Pursuit(state)
    if hold.ours:
        return Pursuit(state, before=(SuspendJob(job.name, job.uid, False),))
    return Pursuit(Suspended(state.stopping, by_others=True))


def _in_kueues_hands(state: State, child: Child, hold: Hold) -> Pursuit:
    """Only Kueue holds such a Job and lets it go; it is told whether it may, once it has taken the Job up."""
    workload = child.workload
    if isinstance(state, attempts.Done):
        return Pursuit(state)
    if hold.wanted and (workload is not None or child.job.suspended):
        told = (ActivateWorkload(workload, False),) if workload is not None and workload.active else ()
        return Pursuit(Suspended(stopping=child.has_living_pods), told)
    if workload is not None and not workload.active and hold.ours:
        return Pursuit(Suspended(stopping=child.has_living_pods), before=(ActivateWorkload(workload, True),))
    if not isinstance(state, Suspended):
        return Pursuit(state)
    reason, message = kueue.why_held(child, state.stopping)
    return Pursuit(Suspended(state.stopping, by_others=True, reason=reason, message=message))


def _start(
    children: Children,
    run: Run,
    manifest: Callable[[int], Manifest],
    now: datetime,
    hold: Hold,
    needs: tuple[Manifest, ...],
) -> Pursuit:
    """Not while a pod of a Job that is gone still works: it would write to the same folder, unseen by prepare."""
    stray = next((pod for pod in children.strays if pod.owned.run == run.digest), None)
    if stray is not None:
        message = f"Pod {stray.name} of a Job that is gone still works; the next one starts when it has ended."
        return Pursuit(Waiting(Reason.RETRYING, message))
    if hold.wanted:
        return Pursuit(Suspended(stopping=False))
    left = lifecycle.pause_left(run, now)
    if left > 0:
        return Pursuit(Paused(left), look_again_seconds=left)
    creation = create(children, run, manifest(run.attempt), now, needs)
    if creation.conflict is not None:
        return Pursuit(creation.conflict)
    waiting = creation.obstacle and Waiting(creation.obstacle.reason, creation.obstacle.message)
    return Pursuit(waiting or Absent(), creation.actions, look_again_seconds=creation.look_again_seconds)


def orphaned_jobs(children: Children, resource: AnyResource) -> tuple[Action, ...]:
    """Jobs that would be left behind when the resource is deleted."""
    owner = owner_reference(resource)
    jobs = (item.job for item in children.items if item.job.orphaned and not item.job.deleting)
    return tuple(OwnJob(job.name, job.uid, owner) for job in jobs)


def expired_jobs(children: Children, ttl_seconds: int | None) -> tuple[Action, ...]:
    """Ended Jobs that Kubernetes is to remove after a while: for resources whose end stands in their status, and which
    have no use for them any more."""
    if ttl_seconds is None:
        return ()
    ended = (item.job for item in children.items if item.job.state is not JobState.ACTIVE and not item.job.deleting)
    return tuple(ExpireJob(job.name, job.uid, ttl_seconds) for job in ended if job.ttl_seconds != ttl_seconds)


def superseded_jobs(children: Children, run: Run) -> tuple[Action, ...]:
    """Jobs of another run that still take resources, and those of an earlier attempt that wait for what they will not
    get. One that works is left alone, whatever its number."""
    return tuple(
        DeleteJob(item.job.name, item.job.uid, item.job.resource_version)
        for item in children.items
        if item.job.state is JobState.ACTIVE and not item.job.deleting and _is_superseded(item, run)
    )


def _is_superseded(child: Child, run: Run) -> bool:
    owned = child.job.owned
    waits = not child.started or child.waits_for_quota
    return owned.run != run.digest or (owned.attempt < run.attempt and waits)


def progress_of(child: Child | None) -> Progress | None:
    """What the pod last said of itself; None where that makes no sense."""
    event = child.progress if child is not None else None
    if event is None:
        return None
    seconds = event.eta_seconds
    known = seconds is not None and math.isfinite(seconds)
    throttled = event.throttled_seconds
    try:
        return Progress(
            percentage=min(100, 100 * event.step // event.steps) if event.steps else 0,
            step=event.step,
            steps=event.steps,
            eta=duration(seconds) if seconds is not None and known else None,
            loss=event.loss,
            stage=event.stage,
            throttled_seconds=round(throttled) if throttled and math.isfinite(throttled) else None,
        )
    except ValidationError:
        return None
