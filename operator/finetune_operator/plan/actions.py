"""What a plan may ask for. Every action can be done twice without harm."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune_api.fields import ApiModel
from finetune_api.group import Kind
from finetune_operator.kueue_workloads import KueueWorkload

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class CreateChild:
    """POST an object under its deterministic name; one that is there already and ours is an observation."""

    manifest: Manifest
    needs: tuple[Manifest, ...] = ()
    """What must be there before it, made in the same way. Where that cannot be made, the object is not made either."""


@dataclass(frozen=True)
class DeleteJob:
    """DELETE a Job and its pods, unless it has changed since it was observed: it may have begun to work."""

    name: str
    uid: str
    resource_version: int


@dataclass(frozen=True)
class OwnJob:
    """Give a Job back the ownerReference that it was made with."""

    name: str
    uid: str
    owner_reference: Mapping[str, Any]


@dataclass(frozen=True)
class ExpireJob:
    """Say how long Kubernetes keeps a Job that has ended. One that was made with this could be gone before anybody had
    read what its pod left."""

    name: str
    uid: str
    ttl_seconds: int


@dataclass(frozen=True)
class DeleteEvaluation:
    """DELETE an Evaluation that the operator made and that failed before this run."""

    name: str
    uid: str


@dataclass(frozen=True)
class SuspendJob:
    """Set a Job's spec.suspend, and nothing else of it."""

    name: str
    uid: str
    suspend: bool


@dataclass(frozen=True)
class ActivateWorkload:
    """Set spec.active of Kueue's Workload of a Job: without it Kueue evicts the Job, and keeps its place in mind."""

    workload: KueueWorkload
    active: bool


@dataclass(frozen=True)
class BoostPriority:
    """Say what Kueue adds to the priority of a Job that runs."""

    workload: KueueWorkload
    boost: int


@dataclass(frozen=True)
class DeleteReplicate:
    """DELETE a FineTuneJob that the operator made for one of several seeds."""

    name: str
    uid: str


@dataclass(frozen=True)
class SuspendReplicate:
    """Set spec.suspend of such a FineTuneJob, and nothing else of it: the one field of a spec that the operator
    writes to what is there."""

    name: str
    uid: str
    suspend: bool


@dataclass(frozen=True)
class ShareEvaluation:
    """Note on an Evaluation that one more Comparison uses it: a non-controller ownerReference."""

    name: str
    uid: str
    owner_references: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class MakeSureItIsGone:
    """Ask the API server, before something is told for ever because an object is not there: what the watches have not
    brought need not have been deleted. Where it is there, nothing else of the plan is done."""

    kind: Kind
    name: str
    uid: str | None
    """Of the one that is meant; a namesake made since is another one."""


@dataclass(frozen=True)
class KeepReport:
    """Put the report that a finished pod's log tells into a ConfigMap."""

    pod: str
    digest: str
    """sha256 that the gzipped report must have."""
    manifest: Manifest


@dataclass(frozen=True)
class EmitEvent:
    """A Kubernetes Event on the resource. Its name follows from what it is about, so that it is said once."""

    reason: str
    message: str
    warning: bool
    about: tuple[str, ...]


@dataclass(frozen=True)
class WriteStatus:
    """Apply the whole status in one write, if it differs from what is there."""

    status: ApiModel


Action = (
    CreateChild
    | DeleteJob
    | OwnJob
    | ExpireJob
    | DeleteEvaluation
    | DeleteReplicate
    | SuspendJob
    | SuspendReplicate
    | ActivateWorkload
    | BoostPriority
    | ShareEvaluation
    | MakeSureItIsGone
    | KeepReport
    | EmitEvent
    | WriteStatus
)


@dataclass(frozen=True)
class Plan:
    """What to do now, in this order, and when to look again though nothing happened."""

    actions: tuple[Action, ...] = ()
    look_again_seconds: float | None = None


NOTHING = Plan()
