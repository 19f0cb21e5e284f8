"""What a pod may take and how its failures are treated: the same words in every kind."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from finetune_api.fields import (
    LABEL_KEY,
    LABEL_VALUE,
    ApiModel,
    CpuQuantity,
    MemoryQuantity,
    ObjectName,
    rule,
    rule_naming_the_value,
    validations,
)


class TolerationOperator(StrEnum):
    EQUAL = "Equal"
    EXISTS = "Exists"


class TaintEffect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


LabelKey = Annotated[
    str,
    Field(
        max_length=317,
        json_schema_extra=validations(
            rule_naming_the_value(
                f"self == '' || self.matches('{LABEL_KEY}')",
                'must be a key such as "nvidia.com/gpu" or "dedicated"',
            )
        ),
    ),
]

LabelValue = Annotated[
    str,
    Field(
        max_length=63,
        json_schema_extra=validations(
            rule_naming_the_value(
                f"self.matches('{LABEL_VALUE}')",
                "must be letters, digits, '-', '_' and '.', with a letter or digit at both ends",
            )
        ),
    ),
]

Labels = Annotated[
    dict[str, LabelValue],
    Field(
        max_length=32,
        json_schema_extra=validations(
            rule(
                f"self.all(key, key.size() <= 317 && key.matches('{LABEL_KEY}'))",
                'every key must be a label\'s key, such as "nvidia.com/gpu.product"',
            )
        ),
    ),
]


class Toleration(ApiModel):
    """A taint that the pods put up with, as in a pod's spec."""

    model_config = {
        "json_schema_extra": validations(
            rule(
                "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
                "value must be left out when operator is Exists",
                field="value",
            ),
            rule(
                "has(self.key) && self.key != '' || has(self.operator) && self.operator == 'Exists'",
                "key must be given, or operator must be Exists, which puts up with every taint",
            ),
            rule(
                "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
                "tolerationSeconds needs effect NoExecute: set the effect, or leave the seconds out",
                field="tolerationSeconds",
            ),
        )
    }

    key: LabelKey | None = None
    """The taint's key; every key when it is left out and operator is Exists."""
    operator: TolerationOperator | None = None
    """Equal (when left out) or Exists."""
    value: LabelValue | None = None
    """The taint's value, for operator Equal."""
    effect: TaintEffect | None = None
    """The taint's effect; every effect when it is left out."""
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """How long a NoExecute taint is put up with, in seconds."""


class Resources(ApiModel):
    """What the pods that compute ask for. Preparing and comparing take a CPU and no GPU."""

    gpus: Annotated[int, Field(ge=0, le=16)] = 1
    """GPUs on one node (nvidia.com/gpu). 0 computes on the CPU: only for trials with small models."""
    cpu: CpuQuantity = "4"
    """CPU of the pod, both request and limit."""
    memory: MemoryQuantity = "16Gi"
    """Host memory of the pod, both request and limit. A container over it is killed (HostMemoryExceeded)."""
    node_selector: Labels = {}
    """Labels that the node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints that the pods put up with."""


class TrainingResources(Resources):
    """What the training pods ask for. Preparing takes a CPU and no GPU."""

    nodes: Annotated[int, Field(ge=1, le=64)] = 1
    """Nodes that train together, each with so many GPUs."""


class Retry(ApiModel):
    """What is done about failures of the infrastructure. Errors of the spec or the dataset are never retried."""

    limit: Annotated[int, Field(ge=0, le=20)] = 3
    """Failures that are tried again before the resource fails. Preemptions are not counted."""
    backoff_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Pause before the first retry, in seconds; it doubles with each one, up to an hour. Up to a quarter of it is taken
    off, so that not all come back at once."""


class LocalReference(ApiModel):
    """An object of this namespace."""

    name: ObjectName
    """Name of the object."""


ImagePullSecrets = Annotated[
    tuple[LocalReference, ...],
    Field(
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]
PriorityClassName = ObjectName | None
TimeToLive = Annotated[int, Field(ge=0, le=31_536_000)] | None
QueueName = ObjectName | None
"""Name of a Kueue LocalQueue of the namespace."""
