"""status.placement: which node and GPU a training got, and why, without a write of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetune_api.group import Step
from finetune_api.planning import GpuClass

from .building import SETTINGS, Raw, fine_tune_job, job_of, newer, node, on_node, running, unscheduled, with_result
from .deciding import decide, told
from .outcomes import TRAINED, queued, training
from .test_training_job import prepared_children

A100 = "NVIDIA-A100-SXM4-80GB"
T4 = node("small", "Tesla-T4", 15360)
A10 = node("middle", "NVIDIA-A10", 23028)
LARGE = node("large", A100, 81920)
SHARED = node("shared", "Tesla-T4-SHARED", 15360)
CARDS = (T4, A10, LARGE)
NEED = {"minimum_gpu_memory_mib": 14234, "gpu_product": "Tesla-T4", "gpus": 1, "nodes": 1}


def placed(*nodes: Raw, on: str, plan: dict[str, Any] | None = None, **spec: Any) -> Any:
    """What is told once the training's pod runs on this node."""
    job = told(fine_tune_job(**spec))
    children = prepared_children(job, **(NEED if plan is None else plan))
    train = job_of(job, Step.TRAIN)
    return decide(told(job, *children), *children, train, on_node(running(train), on), *nodes).status.placement


@pytest.mark.parametrize(
    ("nodes", "on", "product", "why"),
    [
        (CARDS, "small", "Tesla-T4", "smallest of 3 GPU classes that hold 13.9 GiB"),
        (
            CARDS,
            "middle",
            "NVIDIA-A10",
            "second smallest of 3 GPU classes that hold 13.9 GiB; the scheduler took none of the smaller ones",
        ),
        ((LARGE,), "large", A100, "the only GPU class that holds 13.9 GiB"),
        (
            (A10, node("shared", "Tesla-T4-SHARED", 15360)),
            "middle",
            "NVIDIA-A10",
            "the only GPU class that holds 13.9 GiB",
        ),
        ((), "small", None, "a GPU that holds 13.9 GiB, by its node's label, which the operator does not see"),
    ],
)
def test_it_tells_the_gpu_and_its_place_among_those_that_fit(
    nodes: tuple[Raw, ...], on: str, product: str | None, why: str
) -> None:
    found = placed(*nodes, on=on)
    assert (found.node, found.gpu_product, found.message) == (on, product, why)


def test_a_selector_is_part_of_why() -> None:
    pool = [node(name, product, mib, pool="a") for name, product, mib in (("one", "A", 16000), ("two", "B", 32000))]
    found = placed(*pool, T4, on="one", resources={"nodeSelector": {"pool": "a"}})
    assert found.message == "smallest of 2 GPU classes that hold 13.9 GiB and that spec.resources.nodeSelector allows"


def test_where_the_plan_knew_no_gpu_it_says_so_and_names_the_one_it_got() -> None:
    found = placed(T4, on="small", plan={"gpus": 1, "nodes": 1})
    assert found.gpu_product == "Tesla-T4"
    assert found.message == "any GPU would do that is not shared: none of the cluster's was known to the plan"


def test_on_the_cpu_there_is_a_node_and_no_gpu_even_if_the_node_has_some() -> None:
    found = placed(T4, on="small", plan={}, resources={"gpus": 0})
    assert (found.node, found.gpu_product) == ("small", None)
    assert found.message == "any node would do: no GPU is asked for"


def test_classes_from_the_chart_rank_the_gpu_only_where_its_node_is_seen() -> None:
    chart = replace(SETTINGS, gpu_classes=(GpuClass(product="Tesla-T4", memory_mib=15360),))
    job = told(fine_tune_job())
    children = (*prepared_children(job, **NEED), train := job_of(job, Step.TRAIN), running(train))
    found = decide(told(job, *children[:2]), *children, settings=chart).status.placement
    assert (found.node, found.gpu_product) == ("node-1", None)


def test_nothing_is_told_before_the_pod_runs() -> None:
    there, *_ = queued(fine_tune_job())
    assert "placement" not in there["status"]


def test_it_comes_with_the_write_that_tells_of_the_training() -> None:
    waiting, *children = queued(fine_tune_job())
    working = running(children[-2])
    written = decide(waiting, *children[:-1], working, node("node-1")).status
    assert (written.phase, written.placement.gpu_product) == ("Training", A100)
    there = newer(waiting)
    there["status"] = written.to_manifest()
    again = decide(there, *children[:-1], working, node("node-1"))
    assert again.status.to_manifest() == there["status"]


def test_nodes_that_come_or_go_change_nothing_of_what_was_told() -> None:
    job = told(fine_tune_job())
    children = (*prepared_children(job, **NEED), train := job_of(job, Step.TRAIN), on_node(running(train), "small"))
    there = told(told(job, *children[:2]), *children, *CARDS)
    for nodes in ((*CARDS, node("smaller", "NVIDIA-A2", 15000)), (T4,), ()):
        assert decide(there, *children, *nodes).status.to_manifest() == there["status"]


def test_a_training_that_goes_on_elsewhere_tells_the_new_place() -> None:
    job, *_, train, _ = training(fine_tune_job())
    assert job["status"]["placement"]["node"] == "node-1"
    later = told(job, train, on_node(running(train), "large"), *CARDS)
    assert (later["status"]["placement"]["node"], later["status"]["placement"]["gpuProduct"]) == ("large", A100)


def test_it_stays_told_while_the_next_pod_waits_and_after_the_end() -> None:
    job, *prepare, train, _ = training(fine_tune_job())
    waits = told(job, *prepare, train, unscheduled(train, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."))
    assert waits["status"]["placement"] == job["status"]["placement"]
    done = job_of(job, Step.TRAIN, ended="Complete")
    ended = decide(job, *prepare, done, on_node(with_result(done, TRAINED)))
    assert [item["kind"] for item in ended.created] == ["FineTunedModel"]
