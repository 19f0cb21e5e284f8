"""Which GPUs a training may take, and which it shall take first: decided from classes alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from finetune_api.gpu_choice import eligible, has_memory_of_its_own
from finetune_api.planning import GpuClass, TrainingPlan
from finetune_api.workload import TrainingResources
from finetune_operator.manifests.placement import affinity, sizes_that_fit, weights

from .outcomes import prepared

PRODUCTS = ("Tesla-T4", "NVIDIA-A10", "NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb", "Tesla-T4-SHARED")


def gpu_class(**values: Any) -> GpuClass:
    return GpuClass(**values)


classes = st.lists(
    st.builds(
        gpu_class,
        product=st.sampled_from(PRODUCTS),
        memory_mib=st.integers(1, 5).map(lambda step: step * 16384),
        gpus_per_node=st.integers(1, 4),
        nodes=st.integers(1, 4),
        shared=st.booleans(),
    ),
    max_size=12,
)
asked = st.builds(TrainingResources, gpus=st.integers(1, 4), nodes=st.integers(1, 2))
least = st.none() | st.integers(1, 90000)


def plan(minimum: int | None = None, product: str | None = None) -> TrainingPlan:
    return prepared().plan.model_copy(update={"minimum_gpu_memory_mib": minimum, "gpu_product": product})


def labels_of(item: GpuClass) -> dict[str, str]:
    """As GPU Feature Discovery writes them."""
    sharing = {
        "nvidia.com/gpu.replicas": "4" if item.shared else "1",
        "nvidia.com/gpu.sharing-strategy": "time-slicing" if item.shared else "none",
    }
    slices = {"nvidia.com/gpu.slices.gi": "3"} if item.is_slice else {}
    known = {"nvidia.com/gpu.product": item.product, "nvidia.com/gpu.memory": str(item.memory_mib)}
    return {**known, **sharing, **slices}


def suits(term: dict[str, Any], labels: dict[str, str]) -> bool:
    """As Kubernetes reads a node selector term: a label that is missing satisfies NotIn and DoesNotExist alone."""

    def holds(key: str, operator: str, values: tuple[str, ...] = ()) -> bool:
        value = labels.get(key)
        match operator:
            case "In":
                return value in values
            case "NotIn":
                return value not in values
            case "DoesNotExist":
                return value is None
            case "Gt":
                return value is not None and int(value) > int(values[0])
            case "Lt":
                return value is not None and int(value) < int(values[0])
        raise AssertionError(operator)

    return all(holds(**expression) for expression in term["matchExpressions"])


def may_run(made: dict[str, Any], labels: dict[str, str]) -> bool:
    terms = made["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return any(suits(term, labels) for term in terms)


def score(made: dict[str, Any], labels: dict[str, str]) -> int:
    terms = made["nodeAffinity"].get("preferredDuringSchedulingIgnoredDuringExecution", [])
    return sum(term["weight"] for term in terms if suits(term["preference"], labels))


@given(classes, asked, least)
def test_the_pod_runs_where_the_memory_is_enough_and_its_own(
    there: list[GpuClass], resources: TrainingResources, minimum: int | None
) -> None:
    made = affinity(plan(minimum), resources, there)
    for item in there:
        enough = item.memory_mib >= (minimum or 0)
        own = has_memory_of_its_own(item, resources.gpus * resources.nodes)
        assert may_run(made, labels_of(item)) is (enough and own)


def test_a_node_without_labels_is_ruled_out_only_where_memory_is_asked_for() -> None:
    assert may_run(affinity(plan(), TrainingResources(), ()), {})
    assert not may_run(affinity(plan(10000), TrainingResources(), ()), {})


def test_what_is_called_shared_in_values_is_left_alone_whatever_its_labels_say() -> None:
    lent = GpuClass(product="Lent-T4", memory_mib=16384, shared=True)
    labels = {"nvidia.com/gpu.product": "Lent-T4", "nvidia.com/gpu.memory": "16384"}
    assert not may_run(affinity(plan(10000), TrainingResources(), (lent,)), labels)
    assert may_run(affinity(plan(10000), TrainingResources(), ()), labels)


@given(classes, asked, least)
def test_of_two_gpus_that_fit_the_smaller_has_the_higher_score(
    there: list[GpuClass], resources: TrainingResources, minimum: int | None
) -> None:
    made = affinity(plan(minimum), resources, there)
    sizes = sizes_that_fit(plan(minimum), resources, there)
    scores = [{score(made, {"nvidia.com/gpu.product": product}) for product in size.products} for size in sizes]
    assert all(len(alike) == 1 for alike in scores)
    ordered = [min(alike) for alike in scores]
    assert ordered == sorted(set(ordered), reverse=True)
    assert [size.memory_mib for size in sizes] == sorted({size.memory_mib for size in sizes})


@given(st.permutations(range(8)), asked)
def test_the_order_of_the_classes_makes_no_difference(order: list[int], resources: TrainingResources) -> None:
    there = [GpuClass(product=f"Card-{n // 2}", memory_mib=16384 * (n % 3 + 1), shared=n == 5) for n in range(8)]
    assert affinity(plan(), resources, [there[n] for n in order]) == affinity(plan(), resources, there)


@given(st.integers(1, 32))
def test_weights_are_what_kubernetes_takes_and_never_rise(sizes: int) -> None:
    made = weights(sizes)
    assert len(made) == sizes
    assert made == sorted(made, reverse=True)
    assert made[0] == 100 and made[-1] >= 1


def test_the_next_size_is_as_far_away_whichever_sizes_are_full() -> None:
    assert weights(3) == [100, 10, 1]
    made = weights(5)
    assert all(larger / smaller <= 0.4 for smaller, larger in pairwise(made))


@given(classes, asked)
def test_nodes_that_have_too_few_gpus_count_only_where_there_are_no_others(
    there: list[GpuClass], resources: TrainingResources
) -> None:
    chosen = eligible(there, resources.gpus, resources.nodes)
    own = [item for item in there if has_memory_of_its_own(item, resources.gpus * resources.nodes)]
    assert bool(chosen) is bool(own)
    enough = [item for item in own if item.gpus_per_node >= resources.gpus and item.nodes >= resources.nodes]
    assert all(item in enough for item in chosen) if enough else len(chosen) == len(own)


def test_what_was_planned_for_is_preferred_where_no_class_is_known_any_more() -> None:
    made = affinity(plan(10000, "Tesla-T4"), TrainingResources(), ())
    assert score(made, {"nvidia.com/gpu.product": "Tesla-T4"}) == 100
