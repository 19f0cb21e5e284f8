"""The training's Job follows from the plan: where it may run, what it is told, and what several GPUs need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetune_api.conditions import Reason
from finetune_api.group import Kind, Step
from finetune_api.guard import Guard
from finetune_api.orders import PrepareTrainingOrder, TrainOrder
from finetune_api.planning import GpuClass, TrainingPlan
from finetune_api.results import PrepareTrainingResult
from finetune_api.tracking import Tracking
from finetune_operator.settings import Settings

from .building import SETTINGS, Raw, fine_tune_job, job_of, node, unscheduled, with_result
from .child_outcomes import exits
from .deciding import decide, order_of, told
from .outcomes import TRAINED, prepare_done, prepared, succeeded

A100 = "NVIDIA-A100-SXM4-80GB"
T4 = GpuClass(product="Tesla-T4", memory_mib=15360)


def planned(**plan: Any) -> PrepareTrainingResult:
    found = prepared()
    return found.model_copy(update={"plan": found.plan.model_copy(update=plan)})


def prepared_children(job: Raw, **plan: Any) -> tuple[Raw, Raw]:
    step = job_of(job, Step.PREPARE, ended="Complete")
    return step, with_result(step, planned(**plan))


def train_job(*nodes: Raw, plan: dict[str, Any] | None = None, settings: Settings = SETTINGS, **spec: Any) -> Raw:
    job = told(fine_tune_job(**spec))
    (made,) = decide(job, *prepared_children(job, **(plan or {})), *nodes, settings=settings).created
    return made


def pod_of(job: Raw) -> Raw:
    pod: Raw = job["spec"]["template"]["spec"]
    return pod


def environment(job: Raw) -> dict[str, Any]:
    (container,) = pod_of(job)["containers"]
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


# Where it may run


def node_affinity(job: Raw) -> Raw:
    found: Raw = pod_of(job)["affinity"]["nodeAffinity"]
    return found


def test_the_pod_asks_for_the_memory_that_was_planned_and_prefers_the_gpu_of_the_plan() -> None:
    enough = {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["39999"]}
    unshared = {"key": "nvidia.com/gpu.sharing-strategy", "operator": "NotIn", "values": ["time-slicing", "mps"]}
    replicas = "nvidia.com/gpu.replicas"
    assert node_affinity(train_job(plan={"minimum_gpu_memory_mib": 40000, "gpu_product": A100})) == {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [enough, unshared, {"key": replicas, "operator": "DoesNotExist"}]},
                {"matchExpressions": [enough, unshared, {"key": replicas, "operator": "Lt", "values": ["2"]}]},
            ]
        },
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "preference": {
                    "matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": [A100]}]
                },
            }
        ],
    }


def test_where_no_gpu_is_known_none_is_preferred() -> None:
    made = node_affinity(train_job(plan={"minimum_gpu_memory_mib": 40000}))
    assert made.keys() == {"requiredDuringSchedulingIgnoredDuringExecution"}


def test_on_the_cpu_any_node_will_do() -> None:
    assert "affinity" not in pod_of(train_job(plan={"minimum_gpu_memory_mib": 40000}, resources={"gpus": 0}))


CARDS = (node("a", "Tesla-T4", 15360), node("b"), node("c", "NVIDIA-A10", 23028), node("d", "NVIDIA-L4", 23028))


def preferred(job: Raw) -> list[tuple[int, list[str]]]:
    terms = node_affinity(job)["preferredDuringSchedulingIgnoredDuringExecution"]
    return [(term["weight"], term["preference"]["matchExpressions"][0]["values"]) for term in terms]


def test_the_smaller_a_gpu_that_fits_the_more_it_is_preferred() -> None:
    made = train_job(*CARDS, plan={"minimum_gpu_memory_mib": 10000})
    assert preferred(made) == [(100, ["Tesla-T4"]), (10, ["NVIDIA-A10", "NVIDIA-L4"]), (1, [A100])]
    larger = train_job(*CARDS, plan={"minimum_gpu_memory_mib": 16000})
    assert preferred(larger) == [(100, ["NVIDIA-A10", "NVIDIA-L4"]), (1, [A100])]


def test_with_classes_from_the_chart_the_smallest_is_preferred_too() -> None:
    chart = replace(SETTINGS, namespaces=("risk",), gpu_classes=(T4, GpuClass(product=A100, memory_mib=81920)))
    made = train_job(plan={"minimum_gpu_memory_mib": 10000}, settings=chart)
    assert preferred(made) == [(100, ["Tesla-T4"]), (1, [A100])]


def test_the_same_nodes_make_the_same_job_in_whichever_order_they_are_told() -> None:
    plan = {"minimum_gpu_memory_mib": 10000}
    made = train_job(*CARDS, plan=plan)
    assert node_affinity(train_job(*reversed(CARDS), plan=plan)) == node_affinity(made)


def test_a_node_that_comes_or_goes_changes_nothing_of_a_job_that_is_there() -> None:
    job = told(fine_tune_job())
    children = prepared_children(job, minimum_gpu_memory_mib=10000)
    train = job_of(job, Step.TRAIN)
    waits = unscheduled(train, "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.")
    there = told(job, *children, train, waits, *CARDS)
    decision = decide(there, *children, train, waits, *CARDS[1:], node("e", "NVIDIA-L40S", 46068))
    assert (decision.created, decision.deleted) == ([], [])
    assert decision.status.to_manifest() == there["status"]


def test_prepare_needs_no_gpu_node() -> None:
    (made,) = decide(fine_tune_job(), node()).created
    assert "affinity" not in pod_of(made)


SLICE = node("slice", "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb", 19968)


@pytest.mark.parametrize(
    ("nodes", "minimum", "shares"),
    [
        ((), None, False),
        ((node(),), 10000, False),
        ((SLICE,), 10000, True),
        ((node(), SLICE), 10000, True),
        ((node(), SLICE), 20000, False),
        ((node(), SLICE), None, True),
    ],
)
def test_the_pod_is_told_when_its_gpu_may_be_a_slice_of_one_that_others_compute_on(
    nodes: tuple[Raw, ...], minimum: int | None, shares: bool
) -> None:
    made = train_job(*nodes, plan={"minimum_gpu_memory_mib": minimum})
    assert environment(made).get("FINETUNE_GPU_SHARED") == ("true" if shares else None)


def test_a_pod_that_no_nodes_labels_suit_waits_for_a_gpu() -> None:
    job = told(fine_tune_job())
    children = prepared_children(job, minimum_gpu_memory_mib=40000)
    train = job_of(job, Step.TRAIN)
    message = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
    decision = decide(told(job, *children), *children, train, unscheduled(train, message))
    assert (decision.phase, decision.reason) == ("Queued", Reason.WAITING_FOR_GPU)
    assert "40000 MiB" in decision.message
    assert message in decision.message


def test_without_a_demand_for_memory_a_label_that_is_missing_is_the_selectors() -> None:
    job = told(fine_tune_job())
    children = prepare_done(job)
    train = job_of(job, Step.TRAIN)
    message = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
    decision = decide(told(job, *children), *children, train, unscheduled(train, message))
    assert (decision.phase, decision.reason) == ("Queued", Reason.WAITING_FOR_NODE)
    assert "shared" not in decision.message
    on_gpus = prepared_children(job, gpus=1, nodes=1)
    decision = decide(told(job, *on_gpus), *on_gpus, train, unscheduled(train, message))
    assert "Nodes whose GPUs are shared by time slicing or MPS are left out" in decision.message


def test_memory_that_does_not_suffice_ends_the_job_with_what_prepare_says() -> None:
    job = told(fine_tune_job())
    prepare = job_of(job, Step.PREPARE, ended="Failed")
    decision = decide(job, prepare, *exits(2, Reason.INSUFFICIENT_GPU_MEMORY)(prepare))
    assert (decision.phase, decision.reason) == ("Failed", Reason.INSUFFICIENT_GPU_MEMORY)
    assert "It says what to do." in decision.message


# What it is told

WORDS: dict[str, Any] = {
    "resources": {"gpus": 4, "nodes": 2},
    "guard": {"maxPowerWatts": 300},
    "tracking": {"mlflow": {"server": "http://mlflow.tracking:5000"}},
    "export": {"merged": True},
}


def test_the_training_is_told_of_gpus_guard_tracking_and_export() -> None:
    order = order_of(train_job(**WORDS))
    assert isinstance(order, TrainOrder)
    assert (order.gpus, order.nodes) == (4, 2)
    assert order.guard == Guard(max_power_watts=300)
    assert order.tracking == Tracking.model_validate({"mlflow": {"server": "http://mlflow.tracking.svc:5000"}})
    assert order.export.merged


def test_prepare_is_told_of_what_the_plan_depends_on() -> None:
    (made,) = decide(fine_tune_job(**WORDS)).created
    order = order_of(made)
    assert isinstance(order, PrepareTrainingOrder)
    assert (order.gpus, order.nodes) == (4, 2)
    assert order.guard == Guard(max_power_watts=300)


# What several GPUs need


@pytest.mark.parametrize(("resources", "shared"), [({}, False), ({"gpus": 2}, True), ({"gpus": 1, "nodes": 2}, True)])
def test_processes_that_work_together_have_shared_memory(resources: Raw, shared: bool) -> None:
    pod = pod_of(train_job(resources=resources))
    volumes = [volume for volume in pod["volumes"] if volume.get("emptyDir") == {"medium": "Memory"}]
    mounts = [mount["name"] for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"] == "/dev/shm"]
    assert [volume["name"] for volume in volumes] == mounts
    assert bool(mounts) is shared


def test_several_gpus_of_one_node_are_one_pod() -> None:
    made = train_job(resources={"gpus": 4})
    assert (made["spec"]["completions"], "completionMode" in made["spec"]) == (1, False)
    assert pod_of(made)["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "4"


# What is registered


def test_the_model_names_the_image_that_trained_it() -> None:
    job, *_ = succeeded(fine_tune_job())
    train = job_of(job, Step.TRAIN, ended="Complete")
    train["spec"]["template"] = {"spec": {"containers": [{"name": "trainer", "image": "registry.example/trainer:0.9"}]}}
    children = (*prepare_done(job), train, with_result(train, TRAINED))
    (model,) = decide({**job, "status": {"observedGeneration": -1}}, *children).created
    assert model["spec"]["image"] == "registry.example/trainer:0.9"


def test_a_plan_is_kept_in_the_status_as_prepare_made_it() -> None:
    job = told(fine_tune_job())
    children = prepared_children(job, minimum_gpu_memory_mib=40000, gpu_product=A100)
    plan: TrainingPlan = decide(job, *children).status.plan
    assert (plan.minimum_gpu_memory_mib, plan.gpu_product) == (40000, A100)


def test_the_comparison_that_follows_runs_on_one_node() -> None:
    """Its pods answer questions, each alone."""
    wanted = fine_tune_job(resources={"gpus": 2, "nodes": 3}, evaluation={"suite": {"builtin": "finance"}})
    there, *others = succeeded(wanted)
    (comparison,) = decide(there, *others).made(Kind.COMPARISON)
    assert comparison["spec"]["resources"]["gpus"] == 2
    assert "nodes" not in comparison["spec"]["resources"]


def test_prepare_reads_the_suite_that_the_evaluation_will_ask() -> None:
    suite = {"configMap": {"name": "questions"}, "limitPerTask": 50}
    (made,) = decide(fine_tune_job(evaluation={"suite": suite})).created
    order = order_of(made)
    assert isinstance(order, PrepareTrainingOrder)
    assert order.suite is not None and order.suite.location is not None
    assert (order.suite.limit_per_task, order.suite.location.manifest_field) == (50, "spec.evaluation.suite.configMap")
    (container,) = pod_of(made)["containers"]
    assert order.suite.location.volume in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_without_an_evaluation_prepare_reads_no_suite() -> None:
    (made,) = decide(fine_tune_job()).created
    order = order_of(made)
    assert isinstance(order, PrepareTrainingOrder) and order.suite is None
