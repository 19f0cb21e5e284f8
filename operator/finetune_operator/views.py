"""What the operator keeps of each object that it watches: frozen projections, never raw objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from finetune_api.comparison import ComparisonSpec, ComparisonStatus
from finetune_api.conditions import Reason
from finetune_api.evaluation import EvaluationSpec, EvaluationStatus
from finetune_api.events import ProgressEvent
from finetune_api.fields import ApiModel
from finetune_api.finetunedmodel import FineTunedModelSpec, FineTunedModelStatus
from finetune_api.finetunejob import FineTuneJobSpec, FineTuneJobStatus
from finetune_api.group import Kind, Step
from finetune_operator.kueue_workloads import KueueWorkload

Spec = TypeVar("Spec", bound=ApiModel)
Status = TypeVar("Status", bound=ApiModel)


TRAINER_CONTAINER = "trainer"
"""Name of the one container of our pods whose end is the step's end."""
INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
"""Where an Indexed Job numbers its pods."""
GPU_PRODUCT_LABEL = "nvidia.com/gpu.product"
GPU_MEMORY_LABEL = "nvidia.com/gpu.memory"
"""Labels that GPU Feature Discovery puts on nodes: the GPU's name without blanks, and its memory in MiB."""
GPU_REPLICAS_LABEL = "nvidia.com/gpu.replicas"
GPU_SHARING_LABEL = "nvidia.com/gpu.sharing-strategy"
"""For how many pods each GPU counts, and by which means: none, time-slicing or mps; older versions tell no means."""
GPU_SLICES_LABEL = "nvidia.com/gpu.slices.gi"
"""Only where what is handed out as a GPU is a MIG slice."""


@dataclass(frozen=True)
class Key:
    """One resource of ours, as the work queue names it."""

    kind: Kind
    namespace: str
    name: str


@dataclass(frozen=True)
class Owned:
    """What an object's labels say of whom it was made for."""

    kind: Kind
    name: str
    uid: str
    run: str
    step: Step | None = None
    attempt: int = 0
    part: str = ""
    """Which of several Jobs of one step and attempt it is; empty where there is one."""


@dataclass(frozen=True)
class Resource(Generic[Spec, Status]):
    """One of our four kinds."""

    key: Key
    uid: str
    generation: int
    resource_version: int
    deleting: bool
    rerun: str
    """Value of the rerun annotation; empty when there is none."""
    owned: Owned | None
    """Who made it, when the operator did."""
    owner_uids: frozenset[str]
    spec: Spec
    status: Status
    written_status: Mapping[str, Any]
    """The status as it stands in the API server, to see whether a write would change it."""


FineTuneJobResource = Resource[FineTuneJobSpec, FineTuneJobStatus]
EvaluationResource = Resource[EvaluationSpec, EvaluationStatus]
ComparisonResource = Resource[ComparisonSpec, ComparisonStatus]
FineTunedModelResource = Resource[FineTunedModelSpec, FineTunedModelStatus]
AnyResource = Resource[Any, Any]

MODELS: Mapping[Kind, tuple[type[ApiModel], type[ApiModel]]] = {
    Kind.FINE_TUNE_JOB: (FineTuneJobSpec, FineTuneJobStatus),
    Kind.EVALUATION: (EvaluationSpec, EvaluationStatus),
    Kind.COMPARISON: (ComparisonSpec, ComparisonStatus),
    Kind.FINE_TUNED_MODEL: (FineTunedModelSpec, FineTunedModelStatus),
}


class JobState(StrEnum):
    ACTIVE = "Active"
    COMPLETE = "Complete"
    FAILED = "Failed"


@dataclass(frozen=True)
class JobView:
    """A batch/v1 Job that runs one attempt of one step."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    owned: Owned
    state: JobState
    suspended: bool = False
    deleting: bool = False
    ended_at: str = ""
    """When it completed or failed."""
    reason: str = ""
    message: str = ""
    image: str = ""
    """The trainer image of its pods."""
    pods: int = 1
    """Pods that work together in it."""
    orphaned: bool = False
    """Whether somebody took its ownerReferences away: it would outlive its resource."""
    ttl_seconds: int | None = None
    """How long Kubernetes keeps it after its end; for ever where that is not said."""
    queue: str = ""
    """The LocalQueue of Kueue's that it waits in. Kueue alone holds it then, and lets it go."""


@dataclass(frozen=True)
class Termination:
    """How a container ended."""

    exit_code: int
    reason: str
    message: str
    finished_at: str
    started_at: str = ""


@dataclass(frozen=True)
class PodView:
    """A pod of such a Job."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    job_uid: str
    """The Job that made it: a Job made anew under the same name has another uid, and pods of its own."""
    owned: Owned
    phase: str
    reason: str = ""
    message: str = ""
    """Why the kubelet refused or ended it, where no container says."""
    created_at: str = ""
    node: str = ""
    unschedulable: str = ""
    """The scheduler's message, while it finds no node."""
    waiting_reason: str = ""
    waiting_message: str = ""
    started_at: str = ""
    termination: Termination | None = None
    disruption: str = ""
    """Why the pod was or is being ended from outside: preemption, eviction, taint."""
    deleting: bool = False
    silent: bool = False
    """Whether its node has stopped answering: Kubernetes then calls the pod not ready, and nothing else."""
    rank: int = 0
    """Its number among the pods that work together. The one with 0 speaks for all."""
    priority: int = 0
    """What its PriorityClass gives it."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """What is behind its volumes, by their names in the pod."""


@dataclass(frozen=True)
class NodeView:
    """A node whose GPUs are known."""

    name: str
    resource_version: int = field(compare=False)
    """Grows with every heartbeat."""
    product: str
    memory_mib: int
    """Memory of one GPU, or of one MIG slice where the node hands out slices."""
    gpus: int
    shared: bool
    """Whether several pods compute with the memory of one GPU, or of one slice."""
    labels: Mapping[str, str]
    """All of them: a node selector may name any."""


@dataclass(frozen=True)
class PodTrouble:
    """The latest Event that tells why a pod cannot be made or mounted."""

    uid: str
    """The object that it is about."""
    reason: str
    message: str
    time: str


@dataclass(frozen=True)
class Child:
    """One attempt of a step, as the cluster shows it."""

    job: JobView
    pods: tuple[PodView, ...] = ()
    warning: PodTrouble | None = None
    progress: ProgressEvent | None = None
    workload: KueueWorkload | None = None
    """What Kueue says of the Job, where it waits in one of its queues."""

    @property
    def has_living_pods(self) -> bool:
        return any(pod.phase in ("Pending", "Running") for pod in self.pods)

    @property
    def waits_for_quota(self) -> bool:
        """Whether Kueue holds the Job and nothing of it works: it never began, or was evicted and has saved its work.
        One that is not to be admitted waits for something else."""
        may_go = self.workload is None or self.workload.active
        return bool(self.job.queue) and self.job.suspended and may_go and not self.has_living_pods

    @property
    def started(self) -> bool:
        """Whether its pods ever ran, or the Job ended. Of several, all must have: before that they wait for each
        other."""
        ran = {pod.rank for pod in self.pods if pod.started_at or pod.termination is not None}
        return len(ran) >= self.job.pods or self.job.state is not JobState.ACTIVE


@dataclass(frozen=True)
class Obstacle:
    """Why an object could not be made a moment ago."""

    reason: Reason
    message: str
    noted_at: datetime
    retry_seconds: float
    """When to try again."""


@dataclass(frozen=True)
class Children:
    """Everything that works for one resource."""

    items: tuple[Child, ...] = ()
    strays: tuple[PodView, ...] = ()
    """Pods that have not ended though their Job is gone."""
    begun_replicates: frozenset[str] = frozenset()
    """Runs of which a replicate has begun to train."""
    obstacles: Mapping[tuple[str, str], Obstacle] = field(default_factory=dict)
    """What stands in the way of children, by their kind and name."""

    def of(self, run: str, step: Step) -> tuple[Child, ...]:
        """The attempts of one step of one run, oldest first."""
        mine = [item for item in self.items if item.job.owned.run == run and item.job.owned.step == step]
        return tuple(sorted(mine, key=lambda item: item.job.owned.attempt))

    def of_part(self, part: str) -> "Children":
        """Those of one of several Jobs that a step has at once."""
        return replace(self, items=tuple(item for item in self.items if item.job.owned.part == part))

    def at(self, run: str, attempt: int) -> tuple[Child, ...]:
        """The steps of one attempt of a run."""
        return tuple(item for item in self.items if (item.job.owned.run, item.job.owned.attempt) == (run, attempt))

    def anything_started(self, run: str) -> bool:
        """Whether a pod of the run ever ran, or a Job of it ended."""
        return run in self.begun_replicates or any(item.started for item in self.items if item.job.owned.run == run)

    def waits_unstarted(self, run: str) -> bool:
        """Whether the run's latest Job is asking for a node, an image or a volume, and has never got that far."""
        latest = self.at(run, self.attempts(run))
        return any(item.job.state is JobState.ACTIVE and not item.job.suspended and not item.started for item in latest)

    def is_queued(self, run: str) -> bool:
        """Whether the run's latest Job is Kueue's to hold and to let go."""
        latest = self.at(run, self.attempts(run))
        return any(item.job.state is JobState.ACTIVE and item.job.queue for item in latest)

    def waits_for_quota(self, run: str) -> bool:
        """Whether Kueue keeps the run's latest Job waiting."""
        latest = self.at(run, self.attempts(run))
        return any(item.job.state is JobState.ACTIVE and item.waits_for_quota for item in latest)

    def attempts(self, run: str) -> int:
        """Number of the latest attempt of a run; 0 when there is none."""
        return max((item.job.owned.attempt for item in self.items if item.job.owned.run == run), default=0)
