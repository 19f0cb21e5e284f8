"""Which GPUs there are: what nodes' labels say, what the chart says, and what a heartbeat costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.group import Kind
from finetune_api.orders import PrepareTrainingOrder
from finetune_api.planning import GpuClass
from finetune_operator.cache import Cache
from finetune_operator.gpu_nodes import CLASSES_IN_AN_ORDER, classes_of
from finetune_operator.intake import Intake
from finetune_operator.projections import node_view
from finetune_operator.settings import Settings
from finetune_operator.views import Key, NodeView
from finetune_operator.workqueue import WorkQueue

from .building import SETTINGS, Raw, fine_tune_job, newer, node
from .deciding import decide, order_of, scene

A100 = GpuClass(product="NVIDIA-A100-SXM4-80GB", memory_mib=81920, gpus_per_node=8)
T4 = GpuClass(product="Tesla-T4", memory_mib=15360, gpus_per_node=8)


def view(body: Raw) -> NodeView:
    found = node_view(body)
    assert found is not None
    return found


def test_a_node_is_seen_by_its_labels() -> None:
    found = view(node(nvidia_com__gpu_family="ampere"))
    assert (found.product, found.memory_mib, found.gpus, found.shared) == (A100.product, 81920, 8, False)
    assert found.labels["nvidia.com/gpu.family"] == "ampere"


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"nvidia.com/gpu.product": "Tesla-T4"},
        {"nvidia.com/gpu.memory": "15360"},
        {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.memory": "much"},
        {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.memory": "0"},
    ],
)
def test_a_node_whose_gpu_memory_is_unknown_is_of_no_class(labels: dict[str, str]) -> None:
    body = node()
    body["metadata"]["labels"] = labels
    body["status"]["allocatable"] = {"nvidia.com/gpu": "8"}
    assert node_view(body) is None
    assert classes_seen(body) == ()


@pytest.mark.parametrize(
    ("body", "shared"),
    [
        (node(nvidia_com__gpu_replicas="0"), False),
        (node(nvidia_com__gpu_replicas="1"), False),
        (node(nvidia_com__gpu_replicas="4"), True),
        (node(product="Tesla-T4-SHARED"), True),
        (node(product="NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", mib=4864), False),
        (node(product="NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED", mib=4864), True),
        (node(nvidia_com__mig_capable="true"), False),
    ],
)
def test_shared_gpus_show_in_one_label_or_another(body: Raw, shared: bool) -> None:
    assert view(body).shared is shared


@pytest.mark.parametrize(("strategy", "shared"), [("", False), ("none", False), ("time-slicing", True), ("mps", True)])
def test_the_sharing_strategy_is_believed(strategy: str, shared: bool) -> None:
    body = node()
    body["metadata"]["labels"]["nvidia.com/gpu.sharing-strategy"] = strategy
    assert view(body).shared is shared


@pytest.mark.parametrize(
    ("labels", "is_there"),
    [
        ({"mig_strategy": "mixed", "gpu_replicas": "0"}, False),
        ({"mig_strategy": "mixed", "gpu_replicas": "1"}, True),
        ({"mig_strategy": "single", "gpu_replicas": "1"}, True),
        ({"mig_strategy": "single", "gpu_replicas": "0", "gpu_memory": "0"}, False),  # MIG-INVALID
    ],
)
def test_a_node_that_hands_out_nothing_but_profiles_has_no_gpu_to_ask_for(
    labels: dict[str, str], is_there: bool
) -> None:
    body = node(**{f"nvidia_com__{label}": value for label, value in labels.items()})
    assert bool(classes_seen(body)) is is_there


def test_a_slice_is_a_class_with_the_memory_of_the_slice() -> None:
    (seen,) = classes_seen(node(product="NVIDIA-A100-SXM4-40GB-MIG-3g.20gb", mib=19968))
    assert (seen.is_slice, seen.shared, seen.memory_mib) == (True, False, 19968)
    assert not A100.is_slice


def classes_seen(*nodes: Raw, **spec: Any) -> tuple[GpuClass, ...]:
    """What the order of a job tells prepare, where there are these nodes."""
    return order(*nodes, **spec).gpu_classes


def order(*others: Raw, settings: Settings = SETTINGS, **spec: Any) -> PrepareTrainingOrder:
    (made,) = decide(fine_tune_job(**spec), *others, settings=settings).created
    found = order_of(made)
    assert isinstance(found, PrepareTrainingOrder)
    return found


def test_alike_nodes_make_one_class_and_the_largest_comes_first() -> None:
    small = [node(name, T4.product, T4.memory_mib) for name in ("a", "b", "c")]
    assert classes_seen(*small, node("d")) == (A100, T4.model_copy(update={"nodes": 3}))


@pytest.mark.parametrize(
    "other",
    [
        node("other", mib=40960),
        node("other", nvidia_com__gpu_count="4"),
        node("other", nvidia_com__gpu_replicas="4"),
    ],
)
def test_nodes_of_which_one_thing_differs_are_apart(other: Raw) -> None:
    assert len(classes_seen(node(), other)) == 2


def test_only_nodes_that_the_selector_allows_count() -> None:
    there = (node("a", team="risk"), node("b", T4.product, T4.memory_mib))
    assert classes_seen(*there, resources={"nodeSelector": {"team": "risk"}}) == (A100,)
    assert classes_seen(*there, resources={"nodeSelector": {"kubernetes.io/hostname": "b"}}) == (T4,)
    assert classes_seen(*there, resources={"nodeSelector": {"team": "other"}}) == ()


def test_a_job_on_the_cpu_is_told_of_no_gpu() -> None:
    assert classes_seen(node(), resources={"gpus": 0}) == ()


def test_no_node_means_that_nothing_is_said() -> None:
    assert classes_seen() == ()


def test_what_the_chart_says_counts_more_than_nodes() -> None:
    given_by_the_chart = replace(SETTINGS, gpu_classes=(T4,))
    assert order(node(), settings=given_by_the_chart).gpu_classes == (T4,)


def test_the_selector_chooses_among_what_the_chart_says_by_product_and_memory() -> None:
    chart = replace(SETTINGS, gpu_classes=(A100, T4))
    chosen = {"nodeSelector": {"nvidia.com/gpu.product": T4.product, "team": "risk"}}
    assert order(settings=chart, resources=chosen).gpu_classes == (T4,)
    assert order(settings=chart, resources={"nodeSelector": {"nvidia.com/gpu.memory": "81920"}}).gpu_classes == (A100,)


nodes = st.builds(
    node,
    name=st.sampled_from([f"node-{number}" for number in range(60)]),
    product=st.sampled_from(["A", "B", "C"]),
    mib=st.integers(1, 20).map(lambda gib: gib * 1024),
)


@given(st.lists(nodes, max_size=80))
def test_every_node_is_counted_once_and_no_order_grows_without_end(there: list[Raw]) -> None:
    cache = scene(*there).cache
    classes = cache.nodes.classes({})
    known = {(item["metadata"]["name"]): view(item) for item in there}
    assert classes == classes_of(known.values())
    assert len(classes) <= CLASSES_IN_AN_ORDER
    if len(classes) < CLASSES_IN_AN_ORDER:
        assert sum(item.nodes for item in classes) == len(known)
    assert [item.memory_mib for item in classes] == sorted((item.memory_mib for item in classes), reverse=True)


# What nodes cost


def watching(*nodes: Raw) -> tuple[Intake, Cache, WorkQueue[Key]]:
    cache = Cache()
    queue: WorkQueue[Key] = WorkQueue(lambda: 0.0)
    intake = Intake(cache, queue)
    for body in nodes:
        intake.node(body)
    return intake, cache, queue


def test_a_heartbeat_wakes_nobody_and_costs_no_new_grouping() -> None:
    intake, cache, queue = watching(node("a"), node("b"))
    intake.resource(Kind.FINE_TUNE_JOB, fine_tune_job())
    waiting = len(queue)
    before = cache.nodes.classes({})
    beat = newer(node("a"))
    beat["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-01-02T12:00:10Z"
    beat["metadata"]["labels"]["nvidia.com/gfd.timestamp"] = "1767355210"
    intake.node(beat)
    assert cache.nodes.classes({}) is before
    assert len(queue) == waiting


def test_a_change_of_a_label_is_seen_at_once() -> None:
    intake, cache, _ = watching(node("a"))
    assert cache.nodes.classes({}) == (A100,)
    intake.node(node("a", T4.product, T4.memory_mib))
    assert cache.nodes.classes({}) == (T4,)


def test_an_older_version_of_a_node_is_passed_over() -> None:
    old = node("a", T4.product, T4.memory_mib)
    intake, cache, _ = watching(node("a"))
    intake.node(old)
    assert cache.nodes.classes({}) == (A100,)


def test_a_node_that_is_gone_or_lost_its_gpus_is_forgotten() -> None:
    bare = newer(node("b"))
    bare["metadata"]["labels"] = {}
    intake, cache, _ = watching(node("a"), node("b"))
    intake.node_gone(node("a"))
    intake.node(bare)
    assert cache.nodes.classes({}) == ()
