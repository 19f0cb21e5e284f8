"""What Prometheus is told of the operator and of what there is."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry

from finetune_api.group import Kind
from finetune_operator.cache import Cache
from finetune_operator.cluster import ApiError, Cluster
from finetune_operator.metrics.bounds import FirstComers
from finetune_operator.metrics.census import Census
from finetune_operator.metrics.reconciles import Backlog
from finetune_operator.projections import resource_view
from finetune_operator.reconcile import Reconciler
from finetune_operator.views import Key
from finetune_operator.workqueue import WorkQueue

from .building import SETTINGS, Raw, comparison, evaluation, fine_tune_job, moment, with_status
from .deciding import scene
from .simulation.stories import business, undisturbed

Labels = dict[str, str]


def registered(*collectors: Any) -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


def series(registry: CollectorRegistry, name: str) -> Iterator[tuple[Labels, float]]:
    for family in registry.collect():
        yield from ((sample.labels, sample.value) for sample in family.samples if sample.name == name)


def standing(body: Raw, phase: str, reason: str) -> Raw:
    condition = {
        "type": "Complete",
        "status": "False",
        "observedGeneration": 1,
        "lastTransitionTime": moment(),
        "reason": reason,
        "message": "",
    }
    return with_status(body, phase=phase, conditions=[condition])


def census(cache: Cache, **limits: int) -> dict[tuple[str, ...], float]:
    told = series(registered(Census(cache, **limits)), "finetune_resources")
    return {(item["kind"], item["namespace"], item["phase"], item["reason"]): count for item, count in told}


# What there is


def test_resources_are_counted_by_phase_and_reason() -> None:
    there = scene(
        standing(fine_tune_job("a"), "Queued", "WaitingForGPU"),
        standing(fine_tune_job("b"), "Queued", "WaitingForGPU"),
        standing(fine_tune_job("c"), "Failed", "DatasetInvalid"),
        standing(evaluation("d"), "Evaluating", "Running"),
        standing(comparison("e"), "Succeeded", "GateFailed"),
        fine_tune_job("new"),
    )
    assert census(there.cache) == {
        ("FineTuneJob", "research", "Queued", "WaitingForGPU"): 2,
        ("FineTuneJob", "research", "Failed", "DatasetInvalid"): 1,
        ("Evaluation", "research", "Evaluating", "Running"): 1,
        ("Comparison", "research", "Succeeded", "GateFailed"): 1,
        ("FineTuneJob", "research", "Pending", ""): 1,
    }


def test_a_resource_that_is_gone_is_not_counted_any_more() -> None:
    body = standing(fine_tune_job(), "Training", "Running")
    there = scene(body)
    there.cache.drop_resource(Key(Kind.FINE_TUNE_JOB, "research", "tuned"), body["metadata"]["uid"])
    assert census(there.cache) == {}


def test_a_reason_that_nobody_knows_makes_no_series_of_its_own() -> None:
    there = scene(*(standing(fine_tune_job(f"job-{n}"), "Failed", f"Invented{n}") for n in range(20)))
    assert census(there.cache) == {("FineTuneJob", "research", "Failed", "Other"): 20}


def in_namespace(body: Raw, namespace: str) -> Raw:
    metadata = {**body["metadata"], "namespace": namespace, "uid": f"{namespace}-{body['metadata']['uid']}"}
    return {**body, "metadata": metadata}


def test_namespaces_beyond_a_number_are_counted_together() -> None:
    there = scene(*(in_namespace(standing(fine_tune_job(), "Queued", "Starting"), f"team-{n}") for n in range(5)))
    assert census(there.cache, namespaces=2) == {
        ("FineTuneJob", "team-0", "Queued", "Starting"): 1,
        ("FineTuneJob", "team-1", "Queued", "Starting"): 1,
        ("FineTuneJob", "", "Queued", "Starting"): 3,
    }


def test_who_came_first_keeps_its_series_until_it_is_gone() -> None:
    chosen: FirstComers[str] = FirstComers(2)
    assert set(chosen.choose(["m", "n"])) == {"m", "n"}
    assert set(chosen.choose(["a", "m", "n"])) == {"m", "n"}
    assert set(chosen.choose(["a", "n"])) == {"a", "n"}


def test_after_a_whole_run_of_everything_the_census_is_what_the_api_server_holds() -> None:
    world = undisturbed(business)
    (operator,) = world.operators
    found = Counter(
        (kind, "research", body["status"]["phase"], final_reason(body))
        for kind in ("FineTuneJob", "Evaluation", "Comparison")
        for body in world.server.all(kind)
    )
    assert census(operator.cache) == found


def final_reason(body: Raw) -> str:
    (reason,) = [item["reason"] for item in body["status"]["conditions"] if item["type"] == "Complete"]
    return str(reason)


JOBS = 10_000


def test_ten_thousand_jobs_are_counted_well_within_a_second() -> None:
    cache = Cache()
    pattern = resource_view(Kind.FINE_TUNE_JOB, standing(fine_tune_job(), "Queued", "WaitingForGPU"))
    for number in range(JOBS):
        key = replace(pattern.key, name=f"job-{number}")
        cache.put_resource(replace(pattern, key=key, uid=f"uid-{number}"))
    began = time.process_time()
    assert census(cache) == {("FineTuneJob", "research", "Queued", "WaitingForGPU"): JOBS}
    assert time.process_time() - began < 1


# The operator itself


async def test_the_work_queue_tells_its_depth_and_the_age_of_the_oldest() -> None:
    clock = [0.0]
    queue: WorkQueue[Key] = WorkQueue(lambda: clock[0])
    registry = registered(Backlog(queue))
    queue.add(Key(Kind.FINE_TUNE_JOB, "research", "a"))
    clock[0] = 7
    queue.add(Key(Kind.FINE_TUNE_JOB, "research", "b"))
    assert registry.get_sample_value("finetune_operator_queue_depth") == 2
    assert registry.get_sample_value("finetune_operator_queue_oldest_age_seconds") == 7


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Failing(Cluster):
    """Takes nothing."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def apply_status(self, *_: Any) -> Any:
        raise self.error

    async def create(self, *_: Any) -> Any:
        raise self.error


class Noting(WorkQueue[Key]):
    """Says when something failed."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.has_failed = asyncio.Event()

    def failed(self, item: Key, not_before_seconds: float = 0.0) -> float:
        self.has_failed.set()
        return super().failed(item, not_before_seconds)


@pytest.mark.parametrize(
    ("error", "cause"),
    [(ApiError(500, "no"), "refused"), (TimeoutError(), "no_answer"), (ZeroDivisionError(), "defect")],
)
async def test_each_reconcile_is_timed_and_its_failures_are_told_apart(error: Exception, cause: str) -> None:
    there, queue = scene(fine_tune_job()), Noting()
    queue.add(Key(Kind.FINE_TUNE_JOB, "research", "tuned"))
    failures = {"kind": "FineTuneJob", "cause": cause}
    failed = value("finetune_operator_reconcile_failures_total", **failures)
    timed = value("finetune_operator_reconcile_duration_seconds_count", kind="FineTuneJob")
    worker = asyncio.create_task(Reconciler(there.cache, Failing(error), queue, SETTINGS).work())
    await queue.has_failed.wait()
    worker.cancel()
    assert value("finetune_operator_reconcile_failures_total", **failures) == failed + 1
    assert value("finetune_operator_reconcile_duration_seconds_count", kind="FineTuneJob") == timed + 1
