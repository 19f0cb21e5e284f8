"""What is told of each training that runs, and of how many."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from finetune_api.events import ProgressEvent
from finetune_api.group import Kind, Step
from finetune_operator.cache import Cache
from finetune_operator.cluster import Cluster
from finetune_operator.metrics import collectors
from finetune_operator.metrics.running import READINGS, Running
from finetune_operator.progress import ProgressFollower
from finetune_operator.projections import job_view, pod_view, resource_view
from finetune_operator.workqueue import WorkQueue

from .building import Raw, ended, evaluation, fine_tune_job, job_of, moment, newer, running, uid_of
from .deciding import Scene, scene
from .simulation.stories import JOB, one_job, undisturbed
from .simulation.world import World, story

WHOLE = ProgressEvent(
    time=moment(),
    step=30,
    steps=120,
    eta_seconds=900.5,
    loss="1.2345",
    tokens_per_second="2048.5",
    checkpoint_age_seconds=12,
    throttled_seconds=60,
    gpu_watts=610.5,
    gpu_celsius=71,
    gpu_utilization=0.93,
    gpu_memory_bytes=70_000_000_000,
    gpu_joules=1_500_000.5,
)


def said(there: Scene, pod: Raw, event: ProgressEvent) -> None:
    view = pod_view(pod)
    assert view is not None
    there.cache.put_progress(view, event)


def told(cache: Cache, name: str = "tuned", **limits: int) -> dict[str, float]:
    """The series of one resource, as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(Running(cache, **limits))
    text = generate_latest(registry).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name: sample.value for sample in samples if sample.labels.get("name") == name}


@pytest.fixture
def body() -> Raw:
    return fine_tune_job()


@pytest.fixture
def job(body: Raw) -> Raw:
    return job_of(body, Step.TRAIN)


def test_a_training_that_runs_tells_how_it_is_doing(body: Raw, job: Raw) -> None:
    there = scene(body, job, pod := running(job))
    said(there, pod, WHOLE)
    assert told(there.cache) == {
        "finetune_progress_ratio": 0.25,
        "finetune_remaining_seconds": 900.5,
        "finetune_training_loss": 1.2345,
        "finetune_training_tokens_per_second": 2048.5,
        "finetune_checkpoint_age_seconds": 12,
        "finetune_throttled_seconds_total": 60,
        "finetune_gpu_power_watts": 610.5,
        "finetune_gpu_temperature_celsius": 71,
        "finetune_gpu_utilization_ratio": 0.93,
        "finetune_gpu_memory_used_bytes": 70_000_000_000,
        "finetune_gpu_energy_joules_total": 1_500_000.5,
    }


def test_what_a_pod_does_not_tell_has_no_series(body: Raw, job: Raw) -> None:
    there = scene(body, job, pod := running(job))
    said(there, pod, ProgressEvent(time=moment(), step=0, steps=0))
    assert told(there.cache) == {}


def test_the_series_of_a_training_end_with_its_pod(body: Raw, job: Raw) -> None:
    there = scene(body, job, pod := running(job))
    said(there, pod, WHOLE)
    there.take(newer(ended(job)))
    assert told(there.cache) == {}


def test_the_series_of_a_training_end_with_its_resource(body: Raw, job: Raw) -> None:
    there = scene(body, job, pod := running(job))
    said(there, pod, WHOLE)
    there.cache.drop_resource(resource_view(Kind.FINE_TUNE_JOB, body).key, uid_of(body))
    assert told(there.cache) == {}


def test_of_two_pods_the_later_one_tells_so_that_no_series_is_there_twice(body: Raw, job: Raw) -> None:
    again = job_of(body, Step.TRAIN, attempt=2)
    later = running(again)
    later["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = moment(-1)
    there = scene(body, job, again, pod := running(job), later)
    said(there, pod, WHOLE)
    said(there, later, WHOLE.model_copy(update={"loss": "0.5"}))
    assert told(there.cache)["finetune_training_loss"] == 0.5


@pytest.mark.parametrize(
    "nonsense",
    [
        {"loss": "much"},
        {"loss": "", "tokens_per_second": "1e400"},
        {"gpu_memory_bytes": 10**400},
        {"step": 10**400, "steps": 1},
        {"step": -5, "steps": 3},
        {"gpu_watts": float("nan"), "eta_seconds": float("inf")},
    ],
)
def test_no_log_keeps_others_from_being_told(body: Raw, job: Raw, nonsense: dict[str, Any]) -> None:
    there = scene(body, job, pod := running(job))
    other = evaluation()
    score = job_of(other, Step.EVALUATE)
    there.take(other, score, scoring := running(score))
    said(there, pod, WHOLE.model_copy(update=nonsense))
    said(there, scoring, WHOLE)
    assert len(told(there.cache, "scored")) == len(READINGS)
    assert 0 <= told(there.cache).get("finetune_progress_ratio", 0) <= 1


class Logs(Cluster):
    """Of pods that draw more at each look, and come no further."""

    def __init__(self) -> None:
        self.looks = 0

    async def log_tail(self, namespace: str, pod: str) -> str:
        self.looks += 1
        return WHOLE.model_copy(update={"gpu_watts": 100.0 * self.looks}).model_dump_json()


def test_in_a_whole_run_the_series_come_and_go_with_the_training_and_cost_one_write() -> None:
    logs, seen = Logs(), list[dict[str, float]]()

    async def tell(world: World) -> None:
        await one_job(world)
        (operator,) = world.operators
        loop = asyncio.get_running_loop()
        follower = ProgressFollower(operator.cache, logs, operator.queue, 1, loop.time)
        following = asyncio.create_task(follower.follow())
        await world.until(lambda: world.phase(JOB, "tuned") == "Queued", "it is queued")
        seen.append(told(operator.cache))
        await world.until(lambda: logs.looks > 2, "its log was read")
        seen.append(told(operator.cache))
        await world.until(lambda: world.phase(JOB, "tuned") == "Succeeded", "it has ended")
        seen.append(told(operator.cache))
        following.cancel()

    world = story(tell)
    before, meanwhile, after = seen
    assert (before, after) == ({}, {})
    assert meanwhile["finetune_gpu_power_watts"] >= 300
    assert meanwhile["finetune_training_loss"] == 1.2345
    assert len(world.operator_writes()) <= len(undisturbed(one_job).operator_writes()) + 1


def many(number: int) -> Cache:
    """So many trainings that run."""
    cache = Cache()
    body = fine_tune_job()
    job = job_of(body, Step.TRAIN)
    resource, job_seen, pod_seen = resource_view(Kind.FINE_TUNE_JOB, body), job_view(job), pod_view(running(job))
    assert job_seen is not None
    assert pod_seen is not None
    for n in range(number):
        owned = replace(job_seen.owned, uid=f"uid-{n}", name=f"job-{n}")
        cache.put_resource(replace(resource, key=replace(resource.key, name=f"job-{n}"), uid=f"uid-{n}"))
        cache.put_job(replace(job_seen, uid=f"job-uid-{n}", name=f"job-{n}", owned=owned))
        pod = replace(pod_seen, uid=f"pod-{n}", name=f"pod-{n}", job_uid=f"job-uid-{n}", owned=owned)
        cache.put_pod(pod)
        cache.put_progress(pod, WHOLE)
    return cache


def test_only_so_many_have_series_of_their_own_and_the_others_are_counted() -> None:
    cache = many(5)
    registry = CollectorRegistry()
    registry.register(Running(cache, most=3))
    (loss,) = [family for family in registry.collect() if family.name == "finetune_training_loss"]
    assert len(loss.samples) == 3
    assert registry.get_sample_value("finetune_running_unlisted") == 2


def test_a_scrape_of_ten_thousand_trainings_takes_well_under_a_second() -> None:
    registry = CollectorRegistry()
    collectors.register(registry, many(10_000), WorkQueue())
    began = time.process_time()
    text = generate_latest(registry).decode()
    seconds = time.process_time() - began
    assert text.count("finetune_training_loss{") == 500
    assert seconds < 1, seconds
