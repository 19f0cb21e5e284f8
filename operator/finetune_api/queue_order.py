"""The queue for GPUs, worked out from what the resources say: who waits, who is in front, and how long it may last.

Nothing here decides anything. kube-scheduler takes pods by priority, then by age, and so does Kueue with its Workloads;
this tells people what follows from it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from heapq import heapify, heappop, heappush

from finetune_api.conditions import ConditionType, EvaluationPhase, FineTuneJobPhase, Reason
from finetune_api.durations import seconds_of
from finetune_api.evaluation import EvaluationSpec, EvaluationStatus
from finetune_api.finetunejob import FineTuneJobSpec, FineTuneJobStatus
from finetune_api.group import Kind
from finetune_api.workload import TrainingResources

WAITS = frozenset({Reason.WAITING_FOR_GPU, Reason.WAITING_FOR_NODE, Reason.WAITING_FOR_QUOTA, Reason.PREEMPTED})
"""Reasons of what waits for others to leave. An image that cannot be pulled or a pause after a failure is no queue."""


class Lane(StrEnum):
    """Who lets the next one go. Each has an order of its own."""

    SCHEDULER = "scheduler"
    KUEUE = "kueue"


@dataclass(frozen=True)
class Claim:
    """What the pods or Kueue's Workload of some work say of its turn."""

    priority: int
    since: str
    """When it was made."""


@dataclass(frozen=True)
class Work:
    """A FineTuneJob or an Evaluation that waits for GPUs, or has them."""

    kind: Kind
    namespace: str
    name: str
    lane: Lane
    runs: bool
    reason: str
    """What it waits for, in a word."""
    priority: int
    since: str
    pods: int
    gpus: int
    """Of all its pods."""
    seconds: float | None
    """What it will still take on its GPUs; None where nothing tells."""

    @property
    def turn(self) -> tuple[int, str, str, str, str]:
        return -self.priority, self.since, self.namespace, self.name, self.kind


@dataclass(frozen=True)
class Place:
    """Where some work stands."""

    work: Work
    position: int
    """1 is next."""
    ahead: int
    """Pods of its namespace in front."""
    ahead_elsewhere: int
    """Pods of other namespaces in front."""
    starts_in_seconds: float | None


def work_of(
    kind: Kind,
    namespace: str,
    name: str,
    spec: FineTuneJobSpec | EvaluationSpec,
    status: FineTuneJobStatus | EvaluationStatus,
    claim: Claim | None,
) -> Work | None:
    """None where it neither has GPUs nor waits for them."""
    scheduled = next((item for item in status.conditions if item.type == ConditionType.SCHEDULED), None)
    runs = status.phase in (FineTuneJobPhase.TRAINING, EvaluationPhase.EVALUATING)
    waits = status.phase in (FineTuneJobPhase.QUEUED, EvaluationPhase.QUEUED)
    if scheduled is None or not spec.resources.gpus or not (runs or (waits and scheduled.reason in WAITS)):
        return None
    pods = spec.resources.nodes if isinstance(spec.resources, TrainingResources) else 1
    return Work(
        kind=kind,
        namespace=namespace,
        name=name,
        lane=Lane.KUEUE if spec.queue_name is not None else Lane.SCHEDULER,
        runs=runs,
        reason=scheduled.reason,
        priority=claim.priority if claim is not None else 0,
        since=claim.since if claim is not None else scheduled.last_transition_time,
        pods=pods,
        gpus=pods * spec.resources.gpus,
        seconds=_seconds_left(status, runs),
    )


def _seconds_left(status: FineTuneJobStatus | EvaluationStatus, runs: bool) -> float | None:
    """What it says itself while it runs; else the plan's hours for what is not done yet."""
    progress = status.progress
    told = seconds_of(progress.eta) if runs and progress is not None and progress.eta is not None else None
    plan = status.plan if isinstance(status, FineTuneJobStatus) else None
    if told is not None or plan is None or plan.hours is None:
        return told
    done = progress.percentage / 100 if progress is not None else 0.0
    seconds = 3600 * float(plan.hours) * (1 - done)
    return seconds if math.isfinite(seconds) else None


def places(works: Iterable[Work]) -> list[Place]:
    """Of all that waits, each lane by itself, in the order in which it is taken up."""
    known = list(works)
    return [place for lane in Lane for place in _of_lane([work for work in known if work.lane is lane])]


def _of_lane(works: list[Work]) -> Iterator[Place]:
    waiting = sorted((work for work in works if not work.runs), key=lambda work: work.turn)
    in_front: Counter[str] = Counter()
    starts = _starts(waiting, [work for work in works if work.runs])
    for position, (work, start) in enumerate(zip(waiting, starts, strict=True), 1):
        here = in_front[work.namespace]
        yield Place(work, position, here, in_front.total() - here, start)
        in_front[work.namespace] += work.pods


def _starts(waiting: Iterable[Work], running: Iterable[Work]) -> Iterator[float | None]:
    """Each takes the GPUs of those that end first. What is known of one ends where nothing is known of another that
    has the GPUs, or comes before it; and where nobody has any, others than ours have them."""
    ends = [(math.inf if work.seconds is None else work.seconds, work.gpus) for work in running]
    known = all(math.isfinite(end) for end, _ in ends)
    heapify(ends)
    now, free = 0.0, 0
    for work in waiting:
        while known and free < work.gpus and ends:
            now, freed = heappop(ends)
            free += freed
        known = known and free >= work.gpus
        yield now if known else None
        free -= work.gpus
        known = known and work.seconds is not None
        heappush(ends, (now + (work.seconds or 0.0), work.gpus))
