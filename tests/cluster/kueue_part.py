"""Kueue's part on the real API server: Workloads for Jobs in a queue, admitted and evicted when a test says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from installation import OPERATOR_NAMESPACE, install
from localcluster import Cluster
from workbench import Json, Workbench

DEFINITION = "workloads.kueue.x-k8s.io"
WORKLOAD = "workloads.kueue.x-k8s.io"
FLAVOR = {"kubernetes.io/os": "linux"}
"""What a ResourceFlavor would have Kueue add to the node selector."""


def install_operator_for_kueue(cluster: Cluster) -> None:
    install(cluster, kueue={"enabled": True, "cpuSteps": False, "priorityBoost": True})


@contextmanager
def workloads_served(cluster: Cluster) -> Iterator[None]:
    """The API server knows Kueue's Workload, and so does the operator."""
    definition = cluster.checkout.root / "tests" / "cluster" / "kueue" / "workloads.yaml"
    cluster.kubectl("apply", "-f", str(definition), capture_output=True)
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{DEFINITION}", "--timeout=60s", capture_output=True)
    restart_operator(cluster)
    try:
        yield
    finally:
        cluster.kubectl("delete", "-f", str(definition), "--ignore-not-found", capture_output=True)


def restart_operator(cluster: Cluster) -> None:
    deployment = ("-n", OPERATOR_NAMESPACE, "deployment/finetune-operator")
    cluster.kubectl("rollout", "restart", *deployment, capture_output=True)
    cluster.kubectl("rollout", "status", *deployment, "--timeout=180s", capture_output=True)


@dataclass(frozen=True)
class Kueue:
    """Does what Kueue does to a Job and its Workload, and nothing else."""

    bench: Workbench

    def take_up(self, job: Json) -> str:
        """A Workload of the Job, which waits; its name."""
        metadata = job["metadata"]
        name = f"job-{metadata['name']}"[:63]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
        self.bench.apply(
            {
                "apiVersion": "kueue.x-k8s.io/v1beta1",
                "kind": "Workload",
                "metadata": {"name": name, "ownerReferences": [{**owner, "controller": True}]},
                "spec": {"queueName": metadata["labels"]["kueue.x-k8s.io/queue-name"]},
            }
        )
        self.tell(name, QuotaReserved=(False, "Pending", "insufficient unused quota for nvidia.com/gpu, 1 more needed"))
        return name

    def admit(self, job: Json, workload: str) -> None:
        self.tell(
            workload,
            QuotaReserved=(True, "QuotaReserved", "Quota reserved in ClusterQueue gpus"),
            Admitted=(True, "Admitted", "The workload is admitted"),
            Evicted=(False, "QuotaReserved", "Previously: evicted"),
        )
        template = {"spec": {"nodeSelector": FLAVOR}}
        self.bench.patch_spec("job", job["metadata"]["name"], {"template": template})
        self.bench.patch_spec("job", job["metadata"]["name"], {"suspend": False})

    def evict(self, job: Json, workload: str, reason: str, message: str) -> None:
        self.tell(
            workload,
            Evicted=(True, reason, message),
            QuotaReserved=(False, "Pending", message),
            Admitted=(False, "NoReservation", "The workload has no reservation"),
        )
        self.bench.patch_spec("job", job["metadata"]["name"], {"suspend": True})

    def tell(self, workload: str, **conditions: tuple[bool, str, str]) -> None:
        there = {item["type"]: item for item in self.bench.status(WORKLOAD, workload).get("conditions", [])}
        there |= {type_: _condition(type_, *said) for type_, said in conditions.items()}
        change = json.dumps({"status": {"conditions": list(there.values())}})
        self.bench.kubectl("patch", WORKLOAD, workload, "--subresource=status", "--type=merge", "-p", change)

    def is_active(self, workload: str) -> bool:
        found = self.bench.get(WORKLOAD, workload)
        return found is not None and bool(found["spec"]["active"])


def _condition(type_: str, holds: bool, reason: str, message: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"type": type_, "status": str(holds), "reason": reason, "message": message}
    return {**said, "lastTransitionTime": now}
