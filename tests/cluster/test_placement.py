"""Placement on a real scheduler: nodes with other GPUs exist as far as labels go, and nothing can be bound to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from localcluster import Cluster
from localcluster.configuration import Graphics
from manifests import examples, fine_tune_job
from workbench import Workbench, condition

REAL = Graphics()
LARGE = "NVIDIA-H200"
SHARED = "Tesla-T4-SHARED"


@contextmanager
def labelled_nodes(cluster: Cluster, **nodes: dict[str, str]) -> Iterator[None]:
    """Without a kubelet, and closed to pods from the start."""
    items = [_node(name, labels) for name, labels in nodes.items()]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    cluster.kubectl("apply", "-f", "-", input=manifest, capture_output=True)
    try:
        yield
    finally:
        cluster.kubectl("delete", "node", *nodes, "--ignore-not-found", capture_output=True)


def _node(name: str, labels: dict[str, str]) -> dict[str, Any]:
    known = {f"nvidia.com/gpu.{label}": value for label, value in labels.items()}
    metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, **known}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"unschedulable": True}}


@pytest.fixture(scope="module")
def bench(shared_workbench: Workbench) -> Iterator[Workbench]:
    """Beside the real node one with larger GPUs, and one with GPUs that are shared."""
    shared_workbench.write("datasets", "train.jsonl", examples(24))
    nodes = {
        "larger": {"product": LARGE, "memory": "143771", "count": "8", "replicas": "1"},
        "sliced": {"product": SHARED, "memory": "15360", "count": "4", "replicas": "4"},
    }
    with labelled_nodes(shared_workbench.cluster, **nodes):
        yield shared_workbench


def test_the_smallest_gpu_that_fits_is_preferred_and_the_status_tells_what_the_pod_got(bench: Workbench) -> None:
    bench.apply(fine_tune_job("placed"))
    status = bench.wait_for_phase("finetunejob", "placed", "Succeeded")
    (job,) = bench.jobs_of("finetunejob", "placed", "train")
    affinity = job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    preferred = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    wanted = [(term["weight"], term["preference"]["matchExpressions"][0]["values"]) for term in preferred]
    assert wanted == [(100, [REAL.product]), (1, [LARGE])]
    need = status["plan"]["minimumGPUMemoryMiB"] / 1024
    assert status["placement"] == {
        "node": bench.cluster.checkout.cluster_id,
        "gpuProduct": REAL.product,
        "message": f"smallest of 2 GPU classes that hold {need:.1f} GiB",
    }


def test_a_job_that_may_only_have_shared_gpus_is_refused_before_it_asks_for_one(bench: Workbench) -> None:
    bench.apply(fine_tune_job("refused", resources={"nodeSelector": {"kubernetes.io/hostname": "sliced"}}))
    complete = condition(bench.wait_for_phase("finetunejob", "refused", "Failed"), "Complete")
    assert complete["reason"] == "SharedGPU"
    assert f"{SHARED} by time slicing or MPS" in complete["message"]
    assert "let nodeSelector allow nodes with whole GPUs" in complete["message"]
    assert not bench.jobs_of("finetunejob", "refused", "train")
