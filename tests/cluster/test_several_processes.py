"""Trainings of several GPUs and of several pods, whose processes find each other on the real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster_names import served_names
from manifests import examples, fine_tune_job
from workbench import Json, Workbench

LONG = {"epochs": 16, "effectiveBatchSize": 2, "checkpointEverySteps": 20}
"""Long enough to be interrupted."""
HALF = {"cpu": "450m"}
"""So that the pods of two trainings' worth fit the node."""


@pytest.fixture(scope="module")
def bench(shared_workbench: Workbench) -> Iterator[Workbench]:
    shared_workbench.write("datasets", "train.jsonl", examples(24))
    with served_names(shared_workbench.cluster):
        yield shared_workbench


def training_pods(bench: Workbench, name: str) -> list[Json]:
    return bench.pods_of("finetunejob", name, "train")


def test_a_training_of_two_gpus_is_one_pod_whose_processes_share_each_step(bench: Workbench) -> None:
    same: dict[str, Any] = {"lora": {"rank": 4, "alpha": 8, "dropout": "0"}, "training": {"precision": "float32"}}
    bench.apply(fine_tune_job("alone", **same), fine_tune_job("two-gpus", **same, resources={"gpus": 2}))
    alone = bench.wait_for_phase("finetunejob", "alone", "Succeeded")
    together = bench.wait_for_phase("finetunejob", "two-gpus", "Succeeded")
    assert together["plan"]["sharding"] == "ddp"
    assert together["plan"]["steps"] == alone["plan"]["steps"]
    (pod,) = training_pods(bench, "two-gpus")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    # As they are reported, with four decimals.
    for loss in ("finalLoss", "validationLoss"):
        assert float(together["training"][loss]) == pytest.approx(float(alone["training"][loss]), abs=1.1e-4)


def test_a_training_of_two_nodes_is_two_pods_that_meet_by_name(bench: Workbench) -> None:
    bench.apply(fine_tune_job("two-nodes", resources={"nodes": 2, **HALF}))
    status = bench.wait_for_phase("finetunejob", "two-nodes", "Succeeded")
    assert status["plan"]["sharding"] == "ddp"
    (job,) = bench.jobs_of("finetunejob", "two-nodes", "train")
    assert job["spec"]["completionMode"] == "Indexed"
    assert len(training_pods(bench, "two-nodes")) == 2
    assert bench.get("finetunedmodel", status["fineTunedModel"]) is not None


def test_a_lost_pod_of_two_brings_both_back_from_the_checkpoint(bench: Workbench) -> None:
    bench.apply(fine_tune_job("one-lost", resources={"nodes": 2, **HALF}, training=LONG))
    bench.wait_for_phase("finetunejob", "one-lost", "Training")
    bench.wait_until(lambda: checkpoints(bench, "one-lost"), "a checkpoint")
    lost = next(pod for pod in training_pods(bench, "one-lost") if is_second(pod))
    bench.kubectl("delete", "pod", lost["metadata"]["name"], "--grace-period=0", "--force", "--wait=false")
    status = bench.wait_for_phase("finetunejob", "one-lost", "Succeeded")
    logs = [bench.kubectl("logs", pod["metadata"]["name"], check=False) for pod in training_pods(bench, "one-lost")]
    assert any("training on from step" in log for log in logs)
    assert status["training"]["steps"] == status["plan"]["steps"]


def is_second(pod: Json) -> bool:
    return bool(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == "1")


def checkpoints(bench: Workbench, name: str) -> list[Path]:
    job = bench.get("finetunejob", name)
    assert job is not None
    folder = bench.volume("artifacts") / bench.namespace / job["metadata"]["uid"]
    return [marker for marker in folder.glob("*/checkpoints/*/COMPLETE") if marker.parent.name != "checkpoint-0"]
