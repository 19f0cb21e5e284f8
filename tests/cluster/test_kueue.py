"""Jobs in a queue of Kueue's, with Kueue's part played on the real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import operator_calm
from installation import install
from kueue_part import FLAVOR, WORKLOAD, Kueue, install_operator_for_kueue, workloads_served
from localcluster import Cluster
from manifests import examples, fine_tune_job
from workbench import Json, Workbench, condition

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
LONG = {"epochs": 64, "effectiveBatchSize": 1, "checkpointEverySteps": 50}


@pytest.fixture(scope="module")
def bench(shared_workbench: Workbench) -> Iterator[Workbench]:
    """With an operator that may use Kueue; the one of before is back afterwards."""
    install_operator_for_kueue(shared_workbench.cluster)
    shared_workbench.write("datasets", "train.jsonl", examples(12))
    yield shared_workbench
    install(shared_workbench.cluster)


@pytest.fixture(scope="module")
def kueue(bench: Workbench) -> Iterator[Kueue]:
    with workloads_served(bench.cluster):
        yield Kueue(bench)


def training_of(bench: Workbench, name: str) -> Json:
    """The Job of the training, when it is there."""
    found: Json = bench.wait_until(
        lambda: next(iter(bench.jobs_of("finetunejob", name, "train")), None), f"{name} has a Job that trains"
    )
    return found


def wait_for_condition(bench: Workbench, name: str, type_: str, reason: str) -> Json:
    def look() -> Json | None:
        found = condition(bench.status("finetunejob", name), type_)
        return found if found.get("reason") == reason else None

    found: Json = bench.wait_until(look, f"{name}: condition {type_} with reason {reason}")
    return found


def assert_held_by_kueue_alone(bench: Workbench, job: Json) -> None:
    """The API server keeps who wrote which field: since Kueue let the Job go, spec.suspend is not ours any more."""
    name = job["metadata"]["name"]
    written = json.loads(bench.kubectl("get", "job", name, "--show-managed-fields", "-o", "json"))
    (ours,) = [item for item in written["metadata"]["managedFields"] if item["manager"] == "finetune-operator"]
    assert "f:suspend" not in ours["fieldsV1"]["f:spec"]
    assert written["spec"]["template"]["spec"]["nodeSelector"] == FLAVOR


def test_where_kueue_is_not_installed_nothing_goes_wrong(bench: Workbench) -> None:
    cluster: Cluster = bench.cluster
    before = operator_calm.restarts(cluster)
    bench.apply(fine_tune_job("nobodys", queueName="research"), fine_tune_job("plain"))
    bench.wait_for_phase("finetunejob", "plain", "Succeeded")
    complete = bench.wait_for_reason("finetunejob", "nobodys", "WaitingForQuota")
    assert "LocalQueue research" in complete["message"]
    assert training_of(bench, "nobodys")["spec"]["suspend"] is True
    bench.delete("finetunejob", "nobodys")
    assert operator_calm.restarts(cluster) == before


def test_a_training_waits_for_quota_is_evicted_and_goes_on(kueue: Kueue) -> None:
    bench = kueue.bench
    bench.apply(fine_tune_job("evicted", training=LONG, queueName="research"))
    job = training_of(bench, "evicted")
    assert (job["metadata"]["labels"][QUEUE_LABEL], job["spec"]["suspend"]) == ("research", True)
    (prepare,) = bench.jobs_of("finetunejob", "evicted", "prepare")
    assert QUEUE_LABEL not in prepare["metadata"]["labels"]
    workload = kueue.take_up(job)
    assert "1 more needed" in wait_for_condition(bench, "evicted", "QuotaReserved", "Pending")["message"]
    assert bench.status("finetunejob", "evicted")["phase"] == "Queued"
    kueue.admit(job, workload)
    bench.wait_for_phase("finetunejob", "evicted", "Training")
    wait_for_condition(bench, "evicted", "Admitted", "Admitted")
    kueue.evict(job, workload, "Preempted", "Preempted to accommodate a workload of more priority")
    wait_for_condition(bench, "evicted", "Evicted", "Preempted")
    bench.wait_until(lambda: not bench.pods_of("finetunejob", "evicted", "train"), "the pod has saved its work")
    assert bench.status("finetunejob", "evicted")["phase"] == "Queued"
    kueue.admit(job, workload)
    status = bench.wait_for_phase("finetunejob", "evicted", "Succeeded")
    assert status["failures"] == 0
    assert not condition(status, "Admitted")
    (trained,) = bench.jobs_of("finetunejob", "evicted", "train")
    assert trained["metadata"]["uid"] == job["metadata"]["uid"]
    assert_held_by_kueue_alone(bench, job)


def test_our_suspension_goes_by_way_of_kueue(kueue: Kueue) -> None:
    bench = kueue.bench
    bench.apply(fine_tune_job("held", training=LONG, queueName="research"))
    job = training_of(bench, "held")
    workload = kueue.take_up(job)
    kueue.admit(job, workload)
    bench.wait_for_phase("finetunejob", "held", "Training")
    bench.patch_spec("finetunejob", "held", {"suspend": True})
    bench.wait_until(lambda: not kueue.is_active(workload), "the Workload is deactivated")
    assert bench.get("job", job["metadata"]["name"])["spec"]["suspend"] is False  # type: ignore[index]
    kueue.evict(job, workload, "Deactivated", "The workload is deactivated")
    bench.wait_for_phase("finetunejob", "held", "Suspended")
    wait_for_condition(bench, "held", "Evicted", "Deactivated")
    bench.patch_spec("finetunejob", "held", {"suspend": False})
    bench.wait_until(lambda: kueue.is_active(workload), "the Workload is active again")
    bench.wait_for_phase("finetunejob", "held", "Queued")
    kueue.admit(job, workload)
    bench.wait_for_phase("finetunejob", "held", "Succeeded")
    assert_held_by_kueue_alone(bench, job)


def test_an_edit_of_a_job_that_waits_for_quota_replaces_it(kueue: Kueue) -> None:
    bench = kueue.bench
    bench.apply(fine_tune_job("edited", queueName="research"))
    first = training_of(bench, "edited")
    waiting = kueue.take_up(first)
    wait_for_condition(bench, "edited", "QuotaReserved", "Pending")
    bench.patch_spec("finetunejob", "edited", {"queueName": "other"})
    bench.wait_until(lambda: bench.get(WORKLOAD, waiting) is None, "the waiting Job and its Workload are gone")
    second = bench.wait_until(
        lambda: next(iter(bench.jobs_of("finetunejob", "edited", "train")), None), "another Job waits"
    )
    assert second["metadata"]["labels"][QUEUE_LABEL] == "other"
    kueue.admit(second, kueue.take_up(second))
    assert bench.wait_for_phase("finetunejob", "edited", "Succeeded")["failures"] == 0
