"""Everything that can become of one attempt of a step, and what the operator is to make of it, whatever the kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.results import Failure

from .building import (
    Raw,
    being_deleted,
    cannot_pull,
    container,
    ended,
    job_of,
    on_node,
    pod_of,
    running,
    starting,
    trouble,
    unscheduled,
)


class Course(StrEnum):
    """What follows."""

    WAITS = "the step waits for its pod"
    RUNS = "the step is under way"
    RETRIES = "another attempt follows, counted"
    RETRIES_UNCOUNTED = "another attempt follows at once, not counted"
    PAUSES = "another attempt follows later, not counted"
    FAILS = "the resource fails"


@dataclass(frozen=True)
class Outcome:
    children: Callable[[Raw, Step], tuple[Raw, ...]]
    course: Course
    reason: Reason = Reason.STARTING
    says: str = ""
    loses_the_result: bool = False


def waits(children: Callable[[Raw], tuple[Raw, ...]], reason: Reason, says: str = "") -> Outcome:
    """An active Job whose pod does not run."""
    return Outcome(lambda owner, step: _with_job(children, job_of(owner, step)), Course.WAITS, reason, says)


def runs(children: Callable[[Raw], tuple[Raw, ...]]) -> Outcome:
    return Outcome(lambda owner, step: _with_job(children, job_of(owner, step)), Course.RUNS)


def breaks(children: Callable[[Raw], tuple[Raw, ...]], course: Course, reason: Reason, says: str = "") -> Outcome:
    """A Job that has failed."""
    return Outcome(lambda owner, step: _with_job(children, job_of(owner, step, ended="Failed")), course, reason, says)


def completes(children: Callable[[Raw], tuple[Raw, ...]], course: Course, reason: Reason, says: str = "") -> Outcome:
    """A Job that has completed, without a result that can be read."""

    def there(owner: Raw, step: Step) -> tuple[Raw, ...]:
        return _with_job(children, job_of(owner, step, ended="Complete"))

    return Outcome(there, course, reason, says, loses_the_result=True)


def _with_job(children: Callable[[Raw], tuple[Raw, ...]], job: Raw) -> tuple[Raw, ...]:
    return (job, *children(job))


def exits(code: int, reason: Reason | None = None) -> Callable[[Raw], tuple[Raw, ...]]:
    """The container ended with this code and, if a reason is given, told why."""
    failure = Failure(reason=reason, message="It says what to do.") if reason else None
    message = failure.model_dump_json(by_alias=True) if failure else "Traceback: boom"
    return lambda job: (ended(job, code, message),)


def _mount_failure(job: Raw) -> tuple[Raw, ...]:
    pod = starting(job)
    return pod, trouble(pod, "FailedMount", 'configmap "earnings" not found')


def _deleted_pod(job: Raw) -> tuple[Raw, ...]:
    return (being_deleted(running(job)),)


def _silent_node(job: Raw) -> tuple[Raw, ...]:
    pod = running(job)
    pod["status"]["conditions"] = [
        {"type": "Ready", "status": "False"},
        {"type": "ContainersReady", "status": "True"},
    ]
    return (pod,)


def _given_up(pod: Raw) -> Raw:
    words = "Taint manager: deleting due to NoExecute taint"
    conditions = pod["status"].setdefault("conditions", [])
    conditions.append({"type": "DisruptionTarget", "status": "True", "message": words})
    return being_deleted(pod)


def _lost_node(job: Raw) -> tuple[Raw, ...]:
    return (_given_up(*_silent_node(job)),)


def _unready(job: Raw) -> tuple[Raw, ...]:
    """As the kubelet says it: a container beside ours is not ready."""
    pod = running(job)
    pod["status"]["conditions"] = [
        {"type": "Ready", "status": "False"},
        {"type": "ContainersReady", "status": "False"},
    ]
    return (pod,)


def _replaced(job: Raw) -> tuple[Raw, ...]:
    """The first pod was preempted, the second one works."""
    return ended(job, 137, disrupted="Preempted", created=-500), running(job, "second", created=-50)


def _config_error(job: Raw) -> tuple[Raw, ...]:
    waiting = {
        "reason": "CreateContainerConfigError",
        "message": "container has runAsNonRoot and image will run as root",
    }
    return (on_node(pod_of(job, containerStatuses=[container(waiting=waiting)])),)


def _refused_by_kubelet(job: Raw) -> tuple[Raw, ...]:
    words = "Allocate failed due to requested number of devices unavailable for nvidia.com/gpu"
    return (on_node(pod_of(job, phase="Failed", reason="UnexpectedAdmissionError", message=words)),)


def _evicted(job: Raw) -> tuple[Raw, ...]:
    return (on_node(pod_of(job, phase="Failed", reason="Evicted", message="The node was low on memory.")),)


def _lagging(job: Raw) -> tuple[Raw, ...]:
    return (running(job),)


def nothing(_: Raw) -> tuple[Raw, ...]:
    return ()


GPU_MISSING = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
CLAIM_MISSING = 'persistentvolumeclaim "models" not found'
CLAIM_UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
QUOTA = 'pods "x" is forbidden: exceeded quota: team, requested: requests.nvidia.com/gpu=1'
POD_SECURITY = 'pods "x" is forbidden: violates PodSecurity "restricted:latest"'

OUTCOMES: dict[str, Outcome] = {
    # The Job is active
    "its pod is not made yet": waits(nothing, Reason.STARTING),
    "no node has a GPU free": waits(lambda job: (unscheduled(job, GPU_MISSING),), Reason.WAITING_FOR_GPU, GPU_MISSING),
    "its claim is missing": waits(
        lambda job: (unscheduled(job, CLAIM_MISSING),), Reason.WAITING_FOR_VOLUME, CLAIM_MISSING
    ),
    "its claim is unbound": waits(
        lambda job: (unscheduled(job, CLAIM_UNBOUND),), Reason.WAITING_FOR_VOLUME, CLAIM_UNBOUND
    ),
    "no node fits": waits(
        lambda job: (unscheduled(job, "0/3 nodes are available: 3 node(s) had untolerated taint"),),
        Reason.WAITING_FOR_NODE,
        "spec.resources",
    ),
    "its image cannot be pulled": waits(lambda job: (cannot_pull(job),), Reason.WAITING_FOR_IMAGE, "trainer:1"),
    "the quota refuses its pod": waits(
        lambda job: (trouble(job, "FailedCreate", QUOTA),), Reason.WAITING_FOR_QUOTA, "ResourceQuota team"
    ),
    "pod security refuses its pod": waits(
        lambda job: (trouble(job, "FailedCreate", POD_SECURITY),), Reason.POD_REFUSED, "standard restricted:latest"
    ),
    "a volume cannot be mounted": waits(_mount_failure, Reason.WAITING_FOR_VOLUME, 'configmap "earnings" not found'),
    "its container cannot be made": waits(_config_error, Reason.POD_REFUSED, "The container cannot start"),
    "its pod is starting": waits(lambda job: (starting(job),), Reason.STARTING),
    "its pod is being deleted": waits(_deleted_pod, Reason.PREEMPTED, "another one follows"),
    "its node was tainted": waits(lambda job: (_given_up(running(job)),), Reason.NODE_LOST, "NoExecute"),
    "its node no longer answers": waits(_silent_node, Reason.NODE_LOST, "Kubernetes waits a few minutes"),
    "its node is lost": waits(_lost_node, Reason.NODE_LOST, "kubectl taint nodes node-1 node.kubernetes.io/out-of"),
    "its node is gone": waits(
        lambda job: (ended(job, 137, disrupted="PodGC: node no longer exists"),),
        Reason.NODE_LOST,
        "another one follows",
    ),
    "a sidecar of its pod is not ready": runs(_unready),
    "its pod was told to stop": waits(exits(4, Reason.PREEMPTED), Reason.PREEMPTED, "another one follows"),
    "its pod was preempted": waits(
        lambda job: (ended(job, 137, disrupted="Preempted by pod x"),), Reason.PREEMPTED, "Preempted by pod x"
    ),
    "its preempted pod cannot be replaced": waits(
        lambda job: (ended(job, 4), trouble(job, "FailedCreate", QUOTA)), Reason.WAITING_FOR_QUOTA, "ResourceQuota team"
    ),
    "its pod works": runs(lambda job: (running(job),)),
    "its second pod works": runs(_replaced),
    "its pod failed, and the Job does not say so yet": runs(exits(1)),
    # The Job has failed
    "a defect": breaks(exits(1), Course.RETRIES, Reason.INTERNAL_ERROR, "exit code 1 (Error): Traceback: boom"),
    "a defect that names a reason": breaks(
        exits(1, Reason.DATASET_INVALID), Course.RETRIES, Reason.INTERNAL_ERROR, "It says what to do."
    ),
    "an unknown exit code": breaks(exits(99), Course.RETRIES, Reason.INTERNAL_ERROR, "exit code 99"),
    "the user's mistake": breaks(
        exits(2, Reason.DATASET_INVALID), Course.FAILS, Reason.DATASET_INVALID, "It says what to do."
    ),
    "the user's mistake, unexplained": breaks(exits(2), Course.FAILS, Reason.ORDER_INVALID, "exit code 2"),
    "a full volume": breaks(exits(3, Reason.STORAGE_FULL), Course.RETRIES, Reason.STORAGE_FULL, "It says what to do."),
    "infrastructure, unexplained": breaks(exits(3), Course.RETRIES, Reason.STORAGE_FAILED, "exit code 3"),
    "stopped, and its Job with it": breaks(
        exits(4, Reason.PREEMPTED), Course.RETRIES_UNCOUNTED, Reason.PREEMPTED, "It says what to do."
    ),
    "GPU memory exhausted": breaks(
        exits(5, Reason.OUT_OF_MEMORY), Course.RETRIES_UNCOUNTED, Reason.OUT_OF_MEMORY, "It says what to do."
    ),
    "GPU memory exhausted, unexplained": breaks(exits(5), Course.RETRIES, Reason.OUT_OF_MEMORY, "exit code 5"),
    "a loss that is not finite": breaks(
        exits(6, Reason.NON_FINITE_LOSS), Course.FAILS, Reason.NON_FINITE_LOSS, "It says what to do."
    ),
    "a loss that is not finite, unexplained": breaks(exits(6), Course.FAILS, Reason.NON_FINITE_LOSS, "exit code 6"),
    "overheated": breaks(exits(7, Reason.OVERHEATED), Course.PAUSES, Reason.OVERHEATED, "It says what to do."),
    "overheated before any work": breaks(
        exits(3, Reason.OVERHEATED), Course.RETRIES, Reason.OVERHEATED, "It says what to do."
    ),
    "overheated, unexplained": breaks(exits(7), Course.RETRIES, Reason.OVERHEATED, "exit code 7"),
    "out of time": breaks(exits(8), Course.FAILS, Reason.DEADLINE_EXCEEDED, "exit code 8"),
    "killed for host memory": breaks(
        lambda job: (ended(job, 137, reason="OOMKilled"),),
        Course.FAILS,
        Reason.HOST_MEMORY_EXCEEDED,
        "more host memory",
    ),
    "killed from outside": breaks(
        lambda job: (ended(job, 137),), Course.RETRIES, Reason.POD_LOST, "killed from outside, by signal 9"
    ),
    "a termination message that is cut": breaks(
        lambda job: (ended(job, 3, '{"result": "failure", "reason": "Stor'),),
        Course.RETRIES,
        Reason.STORAGE_FAILED,
        "Stor",
    ),
    "no termination message": breaks(
        lambda job: (ended(job, 3),), Course.RETRIES, Reason.STORAGE_FAILED, "see the pod's log"
    ),
    "a packed termination message that cannot be unpacked": breaks(
        lambda job: (ended(job, 3, '{"result":"packed","deflated":"AAAA"}'),),
        Course.RETRIES,
        Reason.STORAGE_FAILED,
        "exit code 3",
    ),
    "its pod vanished": breaks(nothing, Course.RETRIES, Reason.POD_LOST, "disappeared"),
    "a device that the kubelet could not allocate": breaks(
        _refused_by_kubelet, Course.RETRIES, Reason.DEVICE_FAILED, "Allocate failed"
    ),
    "evicted before its container started": breaks(_evicted, Course.RETRIES, Reason.POD_LOST, "low on memory"),
    "its pod lags behind the failed Job": Outcome(
        lambda owner, step: _with_job(_lagging, job_of(owner, step, ended="Failed")), Course.RUNS
    ),
    # The Job has completed
    "complete, its pod lags behind": Outcome(
        lambda owner, step: _with_job(_lagging, job_of(owner, step, ended="Complete")), Course.RUNS
    ),
    "complete, nothing is known of its pod yet": Outcome(
        lambda owner, step: (job_of(owner, step, ended="Complete", ended_seconds=-1),), Course.WAITS
    ),
    "failed, nothing is known of its pod yet": Outcome(
        lambda owner, step: (job_of(owner, step, ended="Failed", ended_seconds=-1),), Course.WAITS
    ),
    "complete, its pod and result are lost": completes(
        nothing, Course.RETRIES_UNCOUNTED, Reason.POD_LOST, "looking for it on the artifacts volume"
    ),
    "complete, no result was left": completes(
        lambda job: (ended(job, 0, ""),), Course.RETRIES, Reason.INTERNAL_ERROR, "no result that can be read"
    ),
    "complete, the result is cut": completes(
        lambda job: (ended(job, 0, '{"result": "train", "training": {"ste'),),
        Course.RETRIES,
        Reason.INTERNAL_ERROR,
        "no result that can be read",
    ),
    "complete, with a failure for a result": completes(
        exits(0, Reason.DATASET_INVALID), Course.RETRIES, Reason.INTERNAL_ERROR, "no result that can be read"
    ),
}
"""By what became of the attempt."""
