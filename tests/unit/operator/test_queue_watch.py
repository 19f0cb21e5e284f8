"""The look at the queue: who is told what, how often, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from finetune_api.group import Step
from finetune_operator.cache import Cache
from finetune_operator.cluster import ApiError, Body, Cluster
from finetune_operator.queue_watch import QueueWatch
from finetune_operator.settings import KueueSettings
from finetune_operator.views import Key

from .building import (
    NOW,
    SETTINGS,
    Raw,
    fine_tune_job,
    job_of,
    key_of,
    moment,
    newer,
    queued_job_of,
    running,
    unscheduled,
    workload_of,
)
from .deciding import Scene, decide, scene, told
from .outcomes import prepare_done

WITH_KUEUE = replace(SETTINGS, kueue=KueueSettings(enabled=True))
GPU_MISSING = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


class Events(Cluster):
    """Takes Events, unless it is told not to."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.written: list[Body] = []

    async def create(self, manifest: Body) -> Body:
        if self.errors:
            raise self.errors.pop(0)
        self.written.append(manifest)
        return manifest


class Watch:
    """The queue watch over a scene, at a time of its own."""

    def __init__(self, there: Scene, *errors: Exception) -> None:
        self.there = there
        self.events = Events(*errors)
        self.now = NOW
        self._watch = QueueWatch(there.cache, self.events, there.queue, lambda: self.now)

    async def look(self, after: timedelta = timedelta()) -> None:
        self.now += after
        await self._watch.look()

    def place(self, body: Raw) -> Any:
        return self.there.cache.estimates.of(resource_of(self.there.cache, body))

    async def woken(self, after: timedelta = timedelta()) -> set[Key]:
        """Whose reconcile a look asks for."""
        queue = self.there.queue
        while len(queue):
            queue.done(await queue.get())
        await self.look(after)
        found = set()
        while len(queue):
            key = await queue.get()
            found.add(key)
            queue.done(key)
        return found


def resource_of(cache: Cache, body: Raw) -> Any:
    found = cache.resource(key_of(body))
    assert found is not None
    return found


def waiting(name: str, *, created: float = -60, priority: int = 0, **options: Any) -> tuple[Raw, ...]:
    """A FineTuneJob whose pod finds no GPU, since so many seconds."""
    job = told(fine_tune_job(name, **options))
    train = job_of(job, Step.TRAIN)
    pod = unscheduled(train, GPU_MISSING)
    pod["metadata"]["creationTimestamp"] = moment(created)
    pod["spec"] = {"priority": priority}
    prepare = prepare_done(job)
    return (told(told(job, *prepare), *prepare, train, pod), *prepare, train, pod)


def at_work(name: str) -> tuple[Raw, ...]:
    job = told(fine_tune_job(name))
    train = job_of(job, Step.TRAIN)
    children = (*prepare_done(job), train, running(train))
    return (told(told(job, *children[:2]), *children), *children)


def among(*works: tuple[Raw, ...]) -> Watch:
    return Watch(scene(*(body for work in works for body in work)))


async def test_those_that_wait_are_told_their_place_by_priority_and_age() -> None:
    old, young, urgent = waiting("old", created=-90), waiting("young"), waiting("urgent", created=-5, priority=100)
    watch = among(old, young, urgent, at_work("busy"))
    await watch.look()
    assert [watch.place(body).position for body, *_ in (urgent, old, young)] == [1, 2, 3]
    assert (watch.place(young[0]).ahead, watch.place(young[0]).ahead_elsewhere) == (2, 0)
    assert watch.place(young[0]).starts_in is None, "nothing tells how long the others take"


async def test_only_the_first_twenty_are_told() -> None:
    many = [waiting(f"job-{number:02}", created=-100 + number) for number in range(23)]
    watch = among(*many)
    await watch.look()
    assert [watch.place(body) is not None for body, *_ in many] == [True] * 20 + [False] * 3


async def test_the_status_tells_the_place_while_it_waits_and_no_longer() -> None:
    body, *children = waiting("tuned")
    watch = among((body, *children))
    await watch.look()
    body["status"]["queue"] = watch.place(body).to_manifest()
    *prepare, train, _ = children
    assert decide(body, *children).status.queue == watch.place(body), "nothing was worked out yet since a restart"
    assert decide(body, *prepare, train, running(train)).status.queue is None


async def test_a_place_is_told_anew_after_five_minutes_at_the_earliest() -> None:
    first, second = waiting("first", created=-90), waiting("second")
    watch = among(first, second)
    assert await watch.woken() == {key_of(first[0]), key_of(second[0])}
    watch.there.take(newer(with_phase(first[0], "Succeeded")))
    assert await watch.woken(timedelta(minutes=4)) == {key_of(first[0])}
    assert watch.place(second[0]).position == 2
    assert await watch.woken(timedelta(minutes=1)) == {key_of(second[0])}
    assert watch.place(second[0]).position == 1


async def test_a_place_that_stays_the_same_is_not_told_again() -> None:
    watch = among(waiting("tuned"))
    await watch.look()
    assert await watch.woken(timedelta(hours=1)) == set()


def with_phase(body: Raw, phase: str) -> Raw:
    return {**body, "status": {**body["status"], "phase": phase}}


async def test_an_event_tells_once_of_a_wait_of_two_hours() -> None:
    body, *children = waiting("tuned", created=-7000)
    watch = among((body, *children))
    await watch.look()
    assert watch.events.written == []
    for _ in range(3):
        await watch.look(timedelta(minutes=5))
    (event,) = watch.events.written
    assert (event["reason"], event["type"]) == ("LongWait", "Warning")
    assert event["involvedObject"]["name"] == "tuned"
    assert "WaitingForGPU" in event["message"]
    assert "number 1 in the queue" in event["message"]


async def test_after_a_restart_the_same_event_bears_the_same_name() -> None:
    body, *children = waiting("tuned", created=-8000)
    names = []
    for _ in range(2):
        watch = among((body, *children))
        await watch.look()
        names += [event["metadata"]["name"] for event in watch.events.written]
    assert len(names) == 2
    assert len(set(names)) == 1


@pytest.mark.parametrize("error", [ApiError(503, "later"), TimeoutError(), ConnectionRefusedError()])
async def test_an_event_that_cannot_be_written_is_written_later(error: Exception) -> None:
    watch = Watch(scene(*waiting("tuned", created=-8000)), error)
    await watch.look()
    assert watch.events.written == []
    await watch.look(timedelta(minutes=1))
    assert len(watch.events.written) == 1


async def test_a_job_that_kueue_put_back_waits_anew() -> None:
    job = told(fine_tune_job(queueName="research"), settings=WITH_KUEUE)
    train = queued_job_of(job, Step.TRAIN)
    workload = workload_of(train, QuotaReserved=(False, "Pending", "no quota"), Requeued=(True, "Reactivated", "again"))
    workload["metadata"]["creationTimestamp"] = moment(-90000)
    for condition, since in zip(workload["status"]["conditions"], (-80000, -60), strict=True):
        condition["lastTransitionTime"] = moment(since)
    prepare = prepare_done(job)
    there = (*prepare, train, workload)
    body = told(told(job, *prepare, settings=WITH_KUEUE), *there, settings=WITH_KUEUE)
    watch = among((body, *there))
    await watch.look()
    assert watch.place(body).position == 1
    assert watch.events.written == []
    await watch.look(timedelta(hours=2))
    assert len(watch.events.written) == 1


async def test_metrics_tell_length_age_and_the_places_of_those_in_front() -> None:
    watch = among(*(waiting(f"job-{number:02}", created=-100 + number) for number in range(22)))
    await watch.look()

    def value(metric: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(metric, {"lane": "scheduler", **labels})

    assert value("finetune_queue_length") == 22
    assert value("finetune_queue_oldest_wait_seconds") == 100
    of_job = {"namespace": "research", "kind": "FineTuneJob"}
    assert value("finetune_queue_position", name="job-19", **of_job) == 20
    assert value("finetune_queue_position", name="job-20", **of_job) is None
    await among(waiting("alone")).look()
    assert value("finetune_queue_length") == 1
    assert value("finetune_queue_position", name="job-19", **of_job) is None
