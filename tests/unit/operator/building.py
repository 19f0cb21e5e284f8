"""Builds what the operator sees, in a few words: raw objects as the API server sends them."""

from __future__ import annotations

import copy
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_api.group import API_VERSION, MANAGER, RERUN_ANNOTATION, Kind, Label, Step
from finetune_api.results import Result
from finetune_operator.digests import run_digest
from finetune_operator.kueue_workloads import BOOST_ANNOTATION, QUEUE_LABEL
from finetune_operator.projections import resource_view
from finetune_operator.settings import Settings
from finetune_operator.views import Key

Raw = dict[str, Any]

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
NAMESPACE = "research"
SETTINGS = Settings(trainer_image="registry.example/trainer:1")
DIGEST = "sha256:" + "0123456789abcdef" * 4
OTHER_DIGEST = "sha256:" + "fedcba9876543210" * 4

_versions = itertools.count(1000)


def moment(seconds: float = 0) -> str:
    """As the API server writes times: so many seconds after now."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


# Resources of ours


def resource(kind: Kind, name: str, spec: Raw, **metadata: Any) -> Raw:
    return {
        "apiVersion": API_VERSION,
        "kind": kind.value,
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-of-{kind.value.lower()}-{name}",
            "generation": 1,
            "resourceVersion": str(next(_versions)),
            "creationTimestamp": moment(-3600),
            **metadata,
        },
        "spec": spec,
        "status": {"observedGeneration": -1},
    }


MODEL_SOURCE = {"persistentVolumeClaim": {"claimName": "models", "path": "llama"}}
DATASET_SOURCE = {"persistentVolumeClaim": {"claimName": "datasets", "path": "train.jsonl"}}
SUITE = {"builtin": "finance"}


def fine_tune_job(name: str = "tuned", *, metadata: Raw | None = None, **spec: Any) -> Raw:
    whole = {"baseModel": MODEL_SOURCE, "dataset": DATASET_SOURCE, **spec}
    return resource(Kind.FINE_TUNE_JOB, name, whole, **(metadata or {}))


def evaluation(name: str = "scored", *, metadata: Raw | None = None, **spec: Any) -> Raw:
    whole = {"model": {"baseModel": MODEL_SOURCE}, "suite": SUITE, **spec}
    return resource(Kind.EVALUATION, name, whole, **(metadata or {}))


def comparison(name: str = "compared", *, candidate: str = "tuned", metadata: Raw | None = None, **spec: Any) -> Raw:
    whole = {"candidates": [{"fineTuneJob": candidate}], "suite": SUITE, **spec}
    return resource(Kind.COMPARISON, name, whole, **(metadata or {}))


def fine_tuned_model(job: Raw, name: str, *, run: str | None = None, metadata: Raw | None = None) -> Raw:
    """The registry entry that a run of this job leaves."""
    spec = {
        "fineTuneJob": {"name": job["metadata"]["name"], "uid": uid_of(job), "run": run or run_of(job)},
        "baseModel": {"source": job["spec"]["baseModel"], "digest": DIGEST},
        "adapter": {"persistentVolumeClaim": {"claimName": "artifacts", "path": "a/b/train/adapter"}, "digest": DIGEST},
        "dataset": {"digest": DIGEST},
        "image": "registry.example/trainer:1",
        "seed": 42,
        "parameters": {
            "method": "lora",
            "quantization": "none",
            "precision": "float32",
            "lora": {},
            "training": {},
        },
        "trainingDate": moment(-10),
    }
    return resource(Kind.FINE_TUNED_MODEL, name, spec, **(metadata or {}))


def uid_of(body: Raw) -> str:
    uid: str = body["metadata"]["uid"]
    return uid


def key_of(body: Raw) -> Key:
    return Key(Kind(body["kind"]), body["metadata"]["namespace"], body["metadata"]["name"])


def run_of(body: Raw) -> str:
    """Digest of the run that the resource asks for."""
    view = resource_view(Kind(body["kind"]), body)
    return run_digest(view.key.kind, view.spec, view.rerun)


def edited(body: Raw, **spec: Any) -> Raw:
    """The same after `kubectl edit`: a new generation and a new version."""
    changed = newer(body)
    changed["spec"] |= spec
    changed["metadata"]["generation"] += 1
    return changed


def rerun(body: Raw, token: str = "again") -> Raw:
    changed = newer(body)
    changed["metadata"].setdefault("annotations", {})[RERUN_ANNOTATION] = token
    return changed


def newer(body: Raw) -> Raw:
    changed = copy.deepcopy(body)
    changed["metadata"]["resourceVersion"] = str(next(_versions))
    return changed


def with_status(body: Raw, **status: Any) -> Raw:
    changed = newer(body)
    seen = {"observedGeneration": changed["metadata"]["generation"]}
    changed["status"] = {**changed["status"], **seen, **status}
    return changed


def being_deleted(body: Raw) -> Raw:
    changed = newer(body)
    changed["metadata"]["deletionTimestamp"] = moment()
    return changed


def owned_by(body: Raw, *owners: Raw) -> Raw:
    changed = newer(body)
    changed["metadata"]["ownerReferences"] = [
        {"apiVersion": API_VERSION, "kind": owner["kind"], "name": owner["metadata"]["name"], "uid": uid_of(owner)}
        for owner in owners
    ]
    return changed


# What works for them


def labels_of(owner: Raw, run: str, step: Step | None = None, attempt: int = 1) -> dict[str, str]:
    labels = {
        Label.MANAGED_BY.value: MANAGER,
        Label.OWNER_KIND.value: owner["kind"],
        Label.OWNER_NAME.value: owner["metadata"]["name"],
        Label.OWNER_UID.value: uid_of(owner),
        Label.RUN.value: run,
    }
    return labels if step is None else {**labels, Label.STEP.value: step.value, Label.ATTEMPT.value: str(attempt)}


def made_by(body: Raw, maker: Raw) -> Raw:
    """The same with the labels that the operator gives what it makes."""
    changed = newer(body)
    changed["metadata"]["labels"] = labels_of(maker, run_of(maker))
    return changed


def job_of(
    owner: Raw,
    step: Step,
    attempt: int = 1,
    *,
    run: str | None = None,
    ended: str | None = None,
    ended_seconds: float = -60,
    suspended: bool = False,
    part: str = "",
) -> Raw:
    """The Kubernetes Job of one attempt; `ended` is Complete or Failed, `part` tells several of one step apart."""
    digest = run or run_of(owner)
    name = f"{owner['metadata']['name']}-{step.value}-{digest[:6]}-{attempt}{part and '-' + part}"
    condition = {"type": ended, "status": "True", "lastTransitionTime": moment(ended_seconds)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-of-job-{name}",
            "resourceVersion": str(next(_versions)),
            "labels": labels_of(owner, digest, step, attempt) | ({Label.PART.value: part} if part else {}),
            "ownerReferences": [{"kind": owner["kind"], "uid": uid_of(owner), "controller": True}],
        },
        "spec": {"suspend": suspended},
        "status": {"conditions": [condition] if ended else []},
    }


def queued_job_of(owner: Raw, step: Step, attempt: int = 1, *, suspended: bool = True, **more: Any) -> Raw:
    """The same in a queue of Kueue's."""
    job = job_of(owner, step, attempt, suspended=suspended, **more)
    job["metadata"]["labels"] |= {QUEUE_LABEL: "research"}
    return job


def workload_of(job: Raw, *, active: bool = True, boost: str | None = None, **conditions: tuple[bool, str, str]) -> Raw:
    """Kueue's Workload of a Job, with conditions by their type: whether it holds, its reason and its message."""
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {
            "name": f"job-{job['metadata']['name']}",
            "namespace": NAMESPACE,
            "uid": f"uid-of-workload-{job['metadata']['name']}",
            "resourceVersion": str(next(_versions)),
            "annotations": {} if boost is None else {BOOST_ANNOTATION: boost},
            "ownerReferences": [{"kind": "Job", "name": job["metadata"]["name"], "uid": uid_of(job)}],
        },
        "spec": {"active": active, "queueName": "research"},
        "status": {
            "conditions": [
                {"type": type_, "status": str(holds), "reason": reason, "message": message}
                for type_, (holds, reason, message) in conditions.items()
            ]
        },
    }


def pod_of(job: Raw, name: str = "pod", *, phase: str = "Pending", created: float = -120, **status: Any) -> Raw:
    """A pod of a Job, with whatever its status holds."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{job['metadata']['name']}-{name}",
            "namespace": NAMESPACE,
            "uid": f"uid-of-pod-{job['metadata']['name']}-{name}",
            "resourceVersion": str(next(_versions)),
            "creationTimestamp": moment(created),
            "labels": job["metadata"]["labels"],
            "ownerReferences": [{"kind": "Job", "uid": uid_of(job), "controller": True}],
        },
        "spec": {},
        "status": {"phase": phase, **status},
    }


def unscheduled(job: Raw, message: str) -> Raw:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod_of(job, conditions=[condition])


def starting(job: Raw, *, node: str = "node-1") -> Raw:
    return on_node(pod_of(job, containerStatuses=[container(waiting={"reason": "ContainerCreating"})]), node)


def cannot_pull(job: Raw) -> Raw:
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "trainer:1"'}
    return on_node(pod_of(job, containerStatuses=[container(waiting=waiting)]))


def running(job: Raw, name: str = "pod", **more: Any) -> Raw:
    state = container(running={"startedAt": moment(-100)})
    return on_node(pod_of(job, name, phase="Running", containerStatuses=[state], **more))


def ended(
    job: Raw,
    exit_code: int = 0,
    message: str = "",
    *,
    name: str = "pod",
    reason: str = "",
    seconds: float = -61,
    disrupted: str = "",
    created: float = -120,
) -> Raw:
    """A pod whose container ended."""
    terminated = {
        "exitCode": exit_code,
        "reason": reason or ("Error" if exit_code else "Completed"),
        "message": message,
        "startedAt": moment(-100),
        "finishedAt": moment(seconds),
    }
    conditions = [{"type": "DisruptionTarget", "status": "True", "message": disrupted}] if disrupted else []
    phase = "Failed" if exit_code else "Succeeded"
    state = container(terminated=terminated)
    pod = pod_of(job, name, phase=phase, created=created, containerStatuses=[state], conditions=conditions)
    return on_node(pod)


def with_result(job: Raw, result: Result) -> Raw:
    return ended(job, 0, result.model_dump_json(by_alias=True, exclude_none=True))


def container(**state: Any) -> Raw:
    return {"name": "trainer", "state": state}


def on_node(pod: Raw, node: str = "node-1") -> Raw:
    pod["spec"]["nodeName"] = node
    return pod


def ranked(pod: Raw, rank: int) -> Raw:
    """As an Indexed Job numbers it."""
    pod["metadata"]["annotations"] = {"batch.kubernetes.io/job-completion-index": str(rank)}
    return pod


def node(name: str = "node-1", product: str = "NVIDIA-A100-SXM4-80GB", mib: int = 81920, **labels: str) -> Raw:
    """A node as GPU Feature Discovery labels it. Of further labels a `__` in the name stands for the slash."""
    more = {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
    gpu = {"nvidia.com/gpu.product": product, "nvidia.com/gpu.memory": str(mib), "nvidia.com/gpu.count": "8"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"uid-of-node-{name}",
            "resourceVersion": str(next(_versions)),
            "labels": {"kubernetes.io/hostname": name, **gpu, **more},
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def trouble(about: Raw, reason: str, message: str, seconds: float = -5) -> Raw:
    """A Warning about a Job or a pod."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "x", "namespace": NAMESPACE},
        "involvedObject": {"uid": uid_of(about)},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": moment(seconds),
    }
