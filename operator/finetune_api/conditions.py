"""Phases for people, conditions and reasons for machines."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from finetune_api.fields import ApiModel, Count, LongText, Timestamp


class FineTuneJobPhase(StrEnum):
    PENDING = "Pending"
    PREPARING = "Preparing"
    QUEUED = "Queued"
    TRAINING = "Training"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class EvaluationPhase(StrEnum):
    PENDING = "Pending"
    PREPARING = "Preparing"
    QUEUED = "Queued"
    EVALUATING = "Evaluating"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class ComparisonPhase(StrEnum):
    PENDING = "Pending"
    PREPARING = "Preparing"
    EVALUATING = "Evaluating"
    COMPARING = "Comparing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class ConditionType(StrEnum):
    VALIDATED = "Validated"
    SCHEDULED = "Scheduled"
    TRAINED = "Trained"
    EVALUATED = "Evaluated"
    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    STALLED = "Stalled"
    RECONCILING = "Reconciling"
    # Kueue's, as it tells them of the Job's Workload
    QUOTA_RESERVED = "QuotaReserved"
    ADMITTED = "Admitted"
    EVICTED = "Evicted"
    REQUEUED = "Requeued"


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Words that a machine can act on; the message beside one says what to do."""

    # Going on
    PREPARING = "Preparing"
    WAITING_FOR_CANDIDATE = "WaitingForCandidate"
    WAITING_FOR_EVALUATIONS = "WaitingForEvaluations"
    WAITING_FOR_GPU = "WaitingForGPU"
    WAITING_FOR_QUOTA = "WaitingForQuota"
    WAITING_FOR_NODE = "WaitingForNode"
    WAITING_FOR_VOLUME = "WaitingForVolume"
    WAITING_FOR_IMAGE = "WaitingForImage"
    POD_REFUSED = "PodRefused"
    STARTING = "Starting"
    RUNNING = "Running"
    THROTTLED = "Throttled"
    RETRYING = "Retrying"
    PREEMPTED = "Preempted"
    SPEC_CHANGE_PENDING = "SpecChangePending"
    SUSPENDED = "Suspended"
    # Done
    DATASET_VALID = "DatasetValid"
    CONTENT_RESOLVED = "ContentResolved"
    TRAINED = "Trained"
    EVALUATED = "Evaluated"
    COMPARED = "Compared"
    GATE_FAILED = "GateFailed"
    # The user's to mend
    DATASET_INVALID = "DatasetInvalid"
    MODEL_INVALID = "ModelInvalid"
    SUITE_INVALID = "SuiteInvalid"
    ORDER_INVALID = "OrderInvalid"
    TRACKING_SERVER_NOT_ALLOWED = "TrackingServerNotAllowed"
    OBJECT_STORE_NOT_ALLOWED = "ObjectStoreNotAllowed"
    KUEUE_NOT_ENABLED = "KueueNotEnabled"
    CONTENT_CHANGED = "ContentChanged"
    CANDIDATE_FAILED = "CandidateFailed"
    CANDIDATE_DELETED = "CandidateDeleted"
    EVALUATION_FAILED = "EvaluationFailed"
    NAME_CONFLICT = "NameConflict"
    INSUFFICIENT_GPU_MEMORY = "InsufficientGPUMemory"
    SHARED_GPU = "SharedGPU"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    # The machine's
    OUT_OF_MEMORY = "OutOfMemory"
    HOST_MEMORY_EXCEEDED = "HostMemoryExceeded"
    NON_FINITE_LOSS = "NonFiniteLoss"
    OVERHEATED = "Overheated"
    STORAGE_FULL = "StorageFull"
    STORAGE_FAILED = "StorageFailed"
    OBJECT_STORE_FAILED = "ObjectStoreFailed"
    DEVICE_FAILED = "DeviceFailed"
    NODE_LOST = "NodeLost"
    POD_LOST = "PodLost"
    PREPARATION_LOST = "PreparationLost"
    NO_PROGRESS = "NoProgress"
    INTERNAL_ERROR = "InternalError"


class Condition(ApiModel):
    """One aspect of the state, as metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    """The aspect that this condition is about."""
    status: ConditionStatus
    """True, False or Unknown."""
    observed_generation: Count = 0
    """The metadata.generation that the condition was worked out for."""
    last_transition_time: Timestamp
    """When the status last changed."""
    reason: Annotated[str, Field(max_length=1024)]
    """One word that a machine can act on."""
    message: LongText = ""
    """What happened and what to do, for people."""


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


def list_map(*keys: str) -> dict[str, Any]:
    """Schema of a list whose items are told apart by some of their fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
