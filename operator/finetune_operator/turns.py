"""When the work of a resource takes its turn, from what is known of its Job: priority, age, and how long it waits."""

from finetune_api.conditions import ConditionType
from finetune_api.group import Kind, Step
from finetune_api.queue_order import Claim, Work, work_of
from finetune_api.runs import QueuePosition
from finetune_operator.kueue_workloads import KueueWorkload
from finetune_operator.views import AnyResource, Child, Children, JobState, Key

COMPUTING = frozenset({Step.TRAIN, Step.EVALUATE})
PHASES = frozenset({"Queued", "Training", "Evaluating"})
"""Of what waits for GPUs or has them."""
QUEUED_KINDS = frozenset({Kind.FINE_TUNE_JOB, Kind.EVALUATION})


class Estimates:
    """Where the first of those that wait stand, as it was worked out last."""

    def __init__(self) -> None:
        self._places: dict[Key, QueuePosition] | None = None

    def of(self, resource: AnyResource) -> QueuePosition | None:
        """What its status says, while nothing was worked out since the start."""
        if self._places is None:
            told: QueuePosition | None = resource.status.queue
            return told
        return self._places.get(resource.key)

    def replace(self, places: dict[Key, QueuePosition]) -> set[Key]:
        """Of whom something else is to be told now."""
        before = self._places or {}
        self._places = places
        return {key for key in before.keys() | places.keys() if before.get(key) != places.get(key)}


def work(resource: AnyResource, children: Children) -> Work | None:
    """None where it neither has GPUs nor waits for them."""
    key = resource.key
    claim = _claim(_at_work(children))
    return work_of(key.kind, key.namespace, key.name, resource.spec, resource.status, claim)


def waits_since(found: Work, children: Children) -> str:
    """Since when it waits this time: a job that was evicted after hours of work, or held by its user, waits anew."""
    child = _at_work(children)
    workload = child.workload if child is not None and child.job.suspended else None
    told = [] if workload is None else [workload.condition(ConditionType.QUOTA_RESERVED.value)]
    told += [] if workload is None else [workload.condition(ConditionType.REQUEUED.value)]
    moments = [item.since for item in told if item is not None and item.since]
    return max(moments, default=found.since)


def _at_work(children: Children) -> Child | None:
    """The latest Job that computes and has not ended."""
    mine = (item for item in children.items if item.job.owned.step in COMPUTING and item.job.state is JobState.ACTIVE)
    return max(mine, key=lambda item: item.job.owned.attempt, default=None)


def _claim(child: Child | None) -> Claim | None:
    if child is None:
        return None
    pending = [pod for pod in child.pods if pod.phase == "Pending" and not pod.deleting]
    if pending:
        return Claim(max(pod.priority for pod in pending), min(pod.created_at for pod in pending))
    return _claim_in_kueue(child.workload)


def _claim_in_kueue(workload: KueueWorkload | None) -> Claim | None:
    return Claim(workload.priority, workload.created_at) if workload is not None and workload.created_at else None
