"""The Kubernetes Job of one attempt: a pod that passes the restricted pod security standard and knows no API server."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from finetune_api.exit_codes import ExitCode
from finetune_api.group import API_VERSION, MANAGER, Label, Step
from finetune_api.orders import ORDER_VARIABLE, Order
from finetune_api.workload import LocalReference, Resources, Toleration
from finetune_operator.digests import child_name
from finetune_operator.manifests.volumes import Mounts
from finetune_operator.settings import Settings
from finetune_operator.views import TRAINER_CONTAINER, AnyResource

TRAINER_UID = 65532
GRACE_PERIOD_SECONDS = 120
"""Time to end a step and to write a checkpoint after SIGTERM."""
GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class Workload:
    """What the pods of a resource have in common, from its spec."""

    resources: Resources | None
    """None for steps that compute nothing: they get the chart's stepResources."""
    priority_class_name: str | None
    image_pull_secrets: tuple[LocalReference, ...]


def owner_reference(resource: AnyResource, *, controller: bool = True) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": resource.key.kind.value,
        "name": resource.key.name,
        "uid": resource.uid,
        **({"controller": True} if controller else {}),
    }


def child_labels(
    resource: AnyResource, run: str, step: Step | None = None, attempt: int | None = None
) -> dict[str, str]:
    """A label's value has at most 63 characters; the owner's name is for people, links go by its uid."""
    labels = {
        Label.MANAGED_BY.value: MANAGER,
        Label.OWNER_KIND.value: resource.key.kind.value,
        Label.OWNER_NAME.value: resource.key.name[:63].rstrip("-."),
        Label.OWNER_UID.value: resource.uid,
        Label.RUN.value: run,
    }
    if step is not None:
        labels |= {Label.STEP.value: step.value, Label.ATTEMPT.value: str(attempt)}
    return labels


def job(
    resource: AnyResource,
    run: str,
    step: Step,
    attempt: int,
    order: Order,
    mounts: Mounts,
    workload: Workload,
    settings: Settings,
) -> dict[str, Any]:
    """A Job with one pod, made again by Kubernetes only when it was preempted or told to stop."""
    labels = child_labels(resource, run, step, attempt)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": child_name(resource.key.name, step, resource.uid, run, attempt),
            "namespace": resource.key.namespace,
            "labels": labels,
            "ownerReferences": [owner_reference(resource)],
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podFailurePolicy": {"rules": _IGNORED_FAILURES},
            "template": {"metadata": {"labels": labels}, "spec": _pod(step, order, mounts, workload, settings)},
        },
    }


_IGNORED_FAILURES = [
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    {
        "action": "Ignore",
        "onExitCodes": {"containerName": TRAINER_CONTAINER, "operator": "In", "values": [int(ExitCode.STOPPED)]},
    },
]
"""A pod that was preempted, or stopped after a checkpoint, comes back inside its Job. Without the second rule a
suspended Job would count the stop that it asked for as its failure."""


def _pod(step: Step, order: Order, mounts: Mounts, workload: Workload, settings: Settings) -> dict[str, Any]:
    resources = workload.resources
    placement: dict[str, Any] = {}
    if resources is not None:
        placement["nodeSelector"] = dict(resources.node_selector)
        placement["tolerations"] = [_toleration(toleration) for toleration in resources.tolerations]
    if workload.priority_class_name is not None:
        placement["priorityClassName"] = workload.priority_class_name
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_PERIOD_SECONDS,
        "imagePullSecrets": [{"name": secret.name} for secret in workload.image_pull_secrets],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": TRAINER_UID,
            "runAsGroup": TRAINER_UID,
            "fsGroup": TRAINER_UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(order, mounts, resources, settings)],
        "volumes": mounts.volumes(),
        **placement,
    }


def _container(order: Order, mounts: Mounts, resources: Resources | None, settings: Settings) -> dict[str, Any]:
    amounts = _amounts(resources, settings)
    return {
        "name": TRAINER_CONTAINER,
        "image": settings.trainer_image,
        "imagePullPolicy": settings.trainer_image_pull_policy,
        "env": [
            {"name": ORDER_VARIABLE, "value": order.to_json()},
            {"name": "OMP_NUM_THREADS", "value": str(threads(amounts["cpu"]))},
        ],
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts.volume_mounts(),
        "terminationMessagePolicy": "File",
    }


def _amounts(resources: Resources | None, settings: Settings) -> dict[str, str]:
    if resources is None:
        return {"cpu": settings.step_resources.cpu, "memory": settings.step_resources.memory}
    amounts = {"cpu": resources.cpu, "memory": resources.memory}
    return {**amounts, GPU: str(resources.gpus)} if resources.gpus else amounts


def threads(cpu: str) -> int:
    """Threads that a CPU quantity such as `2` or `1500m` keeps busy; more of them only wait for each other."""
    cores = Decimal(cpu[:-1]) / 1000 if cpu.endswith("m") else Decimal(cpu)
    return max(1, math.ceil(cores))


def _toleration(toleration: Toleration) -> Mapping[str, Any]:
    return toleration.to_manifest()
