"""Nodes that no longer answer or are emptied, and GPUs that fail: the training goes on, and nothing is counted."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from graphics import all_gpus_broken

from localcluster import Cluster
from localcluster.node_plan import ComponentName
from manifests import examples, fine_tune_job
from workbench import Json, Workbench

LONG = {"epochs": 64, "effectiveBatchSize": 1, "checkpointEverySteps": 50}
"""Seven hundred steps of the tiny model, with a checkpoint every moment."""
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


@pytest.fixture(scope="module")
def bench(shared_workbench: Workbench) -> Workbench:
    shared_workbench.write("datasets", "train.jsonl", examples(12))
    return shared_workbench


@contextmanager
def silent_node(cluster: Cluster) -> Iterator[None]:
    """Its kubelet is gone until the block ends; its containers work on."""
    cluster.stop_component(ComponentName.KUBELET)
    try:
        yield
    finally:
        cluster.start_component(ComponentName.KUBELET)
        cluster.wait_until_ready()


def taint(cluster: Cluster, change: str) -> None:
    node = cluster.checkout.cluster_id
    cluster.kubectl("taint", "node", node, f"{OUT_OF_SERVICE}{change}", "--overwrite", capture_output=True)


def trained_to_a_checkpoint(bench: Workbench, name: str, **training: object) -> Json:
    """The pod of a training that has saved something."""
    bench.apply(fine_tune_job(name, training={**LONG, **training}))
    bench.wait_for_phase("finetunejob", name, "Training")
    uid = (bench.get("finetunejob", name) or {})["metadata"]["uid"]
    saved = f"{bench.namespace}/{uid}/*/checkpoints/checkpoint-*0/COMPLETE"
    bench.wait_until(lambda: len(list(bench.volume("artifacts").glob(saved))) > 1, "a checkpoint of more than step 0")
    (pod,) = bench.pods_of("finetunejob", name, "train")
    return pod


def processes_of(pod: Json) -> list[int]:
    uid = f"FINETUNE_POD_UID={pod['metadata']['uid']}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if uid in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def assert_went_on_in_another_pod(bench: Workbench, name: str, first: Json) -> None:
    status = bench.wait_for_phase("finetunejob", name, "Succeeded")
    assert status["failures"] == 0
    assert len(bench.jobs_of("finetunejob", name, "train")) == 1
    pods = bench.pods_of("finetunejob", name, "train")
    (successor,) = [pod for pod in pods if pod["metadata"]["uid"] != first["metadata"]["uid"]]
    assert "training on from step" in bench.kubectl("logs", successor["metadata"]["name"])


def test_a_lost_node_is_named_with_the_remedy_and_the_training_goes_on_once_it_was_given_up(bench: Workbench) -> None:
    pod = trained_to_a_checkpoint(bench, "stranded")
    try:
        with silent_node(bench.cluster):
            for process in processes_of(pod):  # the machine is off
                os.kill(process, signal.SIGKILL)
            told = bench.wait_for_reason("finetunejob", "stranded", "NodeLost")
            assert f"Node {bench.cluster.checkout.cluster_id} does not answer" in told["message"]
            assert f"kubectl taint nodes {bench.cluster.checkout.cluster_id} {OUT_OF_SERVICE}" in told["message"]
            assert not bench.get("pod", pod["metadata"]["name"])["metadata"].get("deletionTimestamp")
            taint(bench.cluster, "=nodeshutdown:NoExecute")
            bench.wait_until(lambda: not bench.get("pod", pod["metadata"]["name"]), "Kubernetes gives the pod up")
    finally:
        taint(bench.cluster, "-")
    assert_went_on_in_another_pod(bench, "stranded", pod)


def test_a_node_that_answers_again_keeps_its_pod(bench: Workbench) -> None:
    pod = trained_to_a_checkpoint(bench, "patient", epochs=512)
    with silent_node(bench.cluster):
        bench.wait_for_reason("finetunejob", "patient", "NodeLost")
    status = bench.wait_for_phase("finetunejob", "patient", "Succeeded")
    assert status["failures"] == 0
    (same,) = bench.pods_of("finetunejob", "patient", "train")
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]


def test_an_evicted_pod_saves_its_work_and_another_one_goes_on(bench: Workbench) -> None:
    pod = trained_to_a_checkpoint(bench, "evicted")
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": bench.namespace}}
    path = f"/api/v1/namespaces/{bench.namespace}/pods/{name}/eviction"
    bench.cluster.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(eviction), capture_output=True)
    assert_went_on_in_another_pod(bench, "evicted", pod)


def test_a_gpu_that_turns_unhealthy_does_not_disturb_the_training_that_has_it(bench: Workbench) -> None:
    pod = trained_to_a_checkpoint(bench, "undisturbed")
    with all_gpus_broken(bench.cluster):
        status = bench.wait_for_phase("finetunejob", "undisturbed", "Succeeded")
    assert status["failures"] == 0
    (same,) = bench.pods_of("finetunejob", "undisturbed", "train")
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]
