"""What every kind does alike with a step: make its Job, hold it, let it go, and count its failures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.runs import Progress, Run
from finetune_operator.plan import attempts, lifecycle
from finetune_operator.plan.actions import Action, CreateChild, DeleteJob, SuspendJob
from finetune_operator.plan.attempts import Absent, Broken, State, Suspended, Waiting
from finetune_operator.views import Child, Children, JobState

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Pursuit:
    """How a step stands after what can be done about it now was asked for."""

    state: State
    actions: tuple[Action, ...] = ()
    look_again_seconds: float | None = None


def pursue(
    children: Children,
    run: Run,
    step: Step,
    manifest: Callable[[int], Manifest],
    now: datetime,
    *,
    suspend: bool = False,
) -> Pursuit:
    """`manifest` makes the Job of an attempt; it is asked only when one is to be made."""
    state = attempts.state_of(children, run.digest, step, run.attempt)
    child = attempts.latest(children, run.digest, step)
    if isinstance(state, Absent):
        return _start(children, run, manifest, now, suspend)
    if child is None or child.job.state is not JobState.ACTIVE or child.job.suspended == suspend:
        return Pursuit(state)
    return Pursuit(state, (SuspendJob(child.job.name, child.job.uid, suspend),))


def _start(children: Children, run: Run, manifest: Callable[[int], Manifest], now: datetime, suspend: bool) -> Pursuit:
    if suspend:
        return Pursuit(Suspended(stopping=False))
    left = lifecycle.pause_left(run, now)
    if left > 0:
        message = f"Attempt {run.attempt} starts at {run.not_before}."
        return Pursuit(Waiting(Reason.RETRYING, message), look_again_seconds=left)
    wanted = manifest(run.attempt)
    name = wanted["metadata"]["name"]
    if name in children.conflicts:
        return Pursuit(_name_conflict(name))
    return Pursuit(Absent(), (CreateChild(wanted),))


def _name_conflict(name: str) -> Broken:
    message = f"A Job named {name} exists and was not made for this resource: delete or rename it."
    return Broken(Reason.NAME_CONFLICT, message, retry=False)


def superseded_jobs(children: Children, run: str) -> tuple[Action, ...]:
    """Jobs of a run that is no longer the current one and that still take resources."""
    return tuple(
        DeleteJob(item.job.name, item.job.uid)
        for item in children.items
        if item.job.owned.run != run and item.job.state is JobState.ACTIVE and not item.job.deleting
    )


def progress_of(child: Child | None) -> Progress | None:
    """What the pod last said of itself."""
    event = child.progress if child is not None else None
    if event is None:
        return None
    percentage = min(100, 100 * event.step // event.steps) if event.steps else 0
    return Progress(
        percentage=percentage,
        step=event.step,
        steps=event.steps,
        eta=duration(event.eta_seconds) if event.eta_seconds is not None else None,
        loss=event.loss,
        stage=event.stage,
    )


def duration(seconds: float) -> str:
    """As Go prints durations: 45s, 12m30s, 3h5m."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60}s"
    return f"{whole // 3600}h{whole % 3600 // 60}m"
