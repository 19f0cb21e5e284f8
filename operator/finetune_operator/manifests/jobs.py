"""The Kubernetes Job of one attempt: a pod that passes the restricted pod security standard and knows no API server."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from finetune_api.exit_codes import ExitCode
from finetune_api.group import Step
from finetune_api.orders import GPU_SHARED_VARIABLE, ORDER_VARIABLE, POD_UID_VARIABLE, Order
from finetune_api.workload import LocalReference, Resources, Toleration
from finetune_operator.digests import child_name
from finetune_operator.kueue_workloads import QUEUE_LABEL
from finetune_operator.manifests.ownership import child_labels, owner_reference
from finetune_operator.manifests.rendezvous import Rendezvous
from finetune_operator.manifests.servers import Credential
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
    affinity: Mapping[str, Any] | None = None
    shares_gpus: bool = False
    """Whether others may compute on the GPUs that it gets."""
    credentials: tuple[Credential, ...] = ()
    """What the pod shows to a server. The kubelet reads it: the operator has no right to."""
    part: str = ""
    """Which of several Jobs of one step and attempt it is."""
    rendezvous: Rendezvous | None = None
    """Where several pods find each other; None for the many steps that run in one."""
    queue: str | None = None
    """The LocalQueue of Kueue's that the Job waits in."""


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
    """A Job whose pod is made again by Kubernetes only when it was preempted or told to stop. Of several pods, one that
    fails ends the Job, and the others with it: all start again from the checkpoint, in the next attempt's Job. A Job
    that waits in a queue is made held; from then on Kueue decides."""
    labels = child_labels(resource, run, step, attempt, workload.part)
    name = child_name(resource.key.name, step, resource.uid, run, attempt, workload.part)
    several = workload.rendezvous.job_fields() if workload.rendezvous is not None else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": resource.key.namespace,
            "labels": {**labels, QUEUE_LABEL: workload.queue} if workload.queue is not None else labels,
            "ownerReferences": [owner_reference(resource)],
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            **several,
            **({"suspend": True} if workload.queue is not None else {}),
            "podFailurePolicy": {"rules": _IGNORED_FAILURES},
            "template": {"metadata": {"labels": labels}, "spec": _pod(name, order, mounts, workload, settings)},
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


def _pod(job_name: str, order: Order, mounts: Mounts, workload: Workload, settings: Settings) -> dict[str, Any]:
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
        "containers": [_container(job_name, order, mounts, workload, settings)],
        "volumes": mounts.volumes(),
        **_placement(workload),
    }


def _placement(workload: Workload) -> dict[str, Any]:
    placement: dict[str, Any] = workload.rendezvous.pod_fields() if workload.rendezvous is not None else {}
    if workload.resources is not None:
        placement["nodeSelector"] = dict(workload.resources.node_selector)
        placement["tolerations"] = [_toleration(toleration) for toleration in workload.resources.tolerations]
    if workload.affinity is not None:
        placement["affinity"] = workload.affinity
    if workload.priority_class_name is not None:
        placement["priorityClassName"] = workload.priority_class_name
    return placement


def _container(job_name: str, order: Order, mounts: Mounts, workload: Workload, settings: Settings) -> dict[str, Any]:
    amounts = _amounts(workload.resources, settings)
    return {
        "name": TRAINER_CONTAINER,
        "image": settings.trainer_image,
        "imagePullPolicy": settings.trainer_image_pull_policy,
        "env": [
            {"name": ORDER_VARIABLE, "value": order.to_json()},
            {"name": POD_UID_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "OMP_NUM_THREADS", "value": str(threads(amounts["cpu"]))},
            *([{"name": GPU_SHARED_VARIABLE, "value": "true"}] if workload.shares_gpus else []),
            *(_from_secret(credential) for credential in workload.credentials),
            *(workload.rendezvous.environment(job_name) if workload.rendezvous is not None else []),
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


def _from_secret(credential: Credential) -> dict[str, Any]:
    return {"name": credential.variable, "valueFrom": {"secretKeyRef": credential.secret.to_manifest()}}


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
