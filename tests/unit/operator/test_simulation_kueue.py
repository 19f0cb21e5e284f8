"""Kueue holds our Jobs and lets them go, whatever happens meanwhile: nothing is lost, and nobody else touches them."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from finetune_api.group import Step
from finetune_operator.kueue_workloads import BOOST_ANNOTATION
from finetune_operator.settings import KueueSettings

from .building import fine_tune_job
from .simulation.kueue import Kueue
from .simulation.stories import EVALUATION, FINANCE, JOB, examples, seeds
from .simulation.weather import Weather
from .simulation.world import DEFAULTS, Story, World, story

SETTINGS = replace(DEFAULTS, kueue=KueueSettings(enabled=True, priority_boost=True))


def queued(name: str = "tuned", **spec: Any) -> Any:
    return fine_tune_job(name, queueName="research", **spec)


def tell_with_kueue(tell: Any, *, quota: int = 1, **options: Any) -> World:
    async def whole(world: World) -> None:
        await tell(world, Kueue(world.server, quota))

    made: Story = whole
    return story(made, settings=SETTINGS, **options)


def train_job(world: World, owner: str = "tuned") -> str:
    (found,) = [
        job["metadata"]["name"]
        for job in world.server.all("Job")
        if job["metadata"]["labels"]["finetune.dev/step"] == Step.TRAIN.value
        and job["metadata"]["labels"]["finetune.dev/owner-name"] == owner
    ]
    return str(found)


def reasons(world: World, name: str = "tuned") -> dict[str, str]:
    return {item["type"]: item["reason"] for item in world.status(JOB, name)["conditions"]}


def assert_only_kueue_held_jobs(world: World) -> None:
    assert [item for item in world.server.writes if item.verb == "suspend" and item.kind == "Job"] == []


def test_one_after_the_other_is_admitted_trained_and_compared() -> None:
    async def tell(world: World, kueue: Kueue) -> None:
        world.apply(queued("first", evaluation=FINANCE), queued("second", evaluation=FINANCE))
        await world.until(lambda: kueue.admissions, "one of them is admitted")
        assert world.machinery.most_at_once <= 1

    world = tell_with_kueue(tell)
    for name in ("first", "second"):
        assert world.phase(JOB, name) == "Succeeded"
        assert world.status(JOB, name)["summary"]["verdict"] == "Improved"
        assert not {"Admitted", "QuotaReserved"} & reasons(world, name).keys()
    assert set(Counter(world.trainer.computed).values()) == {1}
    assert all(item["spec"]["queueName"] == "research" for item in world.server.all(EVALUATION.value))
    assert_only_kueue_held_jobs(world)


def test_without_quota_it_waits_and_says_what_kueue_says() -> None:
    async def tell(world: World, kueue: Kueue) -> None:
        world.apply(queued())
        await world.until(lambda: "QuotaReserved" in reasons(world), "Kueue's word is told")
        assert world.phase(JOB, "tuned") == "Queued"
        assert reasons(world)["QuotaReserved"] == "Pending"
        kueue.quota = 1
        await world.until(lambda: world.phase(JOB, "tuned") == "Training", "it is let go")
        assert reasons(world)["Admitted"] == "Admitted"

    world = tell_with_kueue(tell, quota=0)
    assert world.phase(JOB, "tuned") == "Succeeded"


def test_an_evicted_job_comes_back_by_itself() -> None:
    async def tell(world: World, kueue: Kueue) -> None:
        world.apply(queued())
        await world.until(lambda: world.phase(JOB, "tuned") == "Training", "it trains")
        kueue.quota = 0
        kueue.evict(train_job(world))
        await world.until(lambda: reasons(world).get("Evicted") == "Preempted", "the eviction is told")
        await asyncio.sleep(60)
        assert world.phase(JOB, "tuned") == "Queued"
        kueue.quota = 1

    world = tell_with_kueue(tell)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert world.status(JOB, "tuned")["failures"] == 0
    assert world.made_twice() == []


def test_suspended_and_resumed_it_goes_through_the_queue_again() -> None:
    async def tell(world: World, kueue: Kueue) -> None:
        world.apply(queued("held"), queued("next"))
        await world.until(lambda: kueue.admissions, "one is admitted")
        first = next(name for name in ("held", "next") if name in kueue.admissions[0])
        other = "next" if first == "held" else "held"
        await world.until(lambda: world.phase(JOB, first) == "Training", "it trains")
        world.server.edit(JOB.value, first, suspend=True)
        await world.until(lambda: world.phase(JOB, other) == "Training", "the other one gets the quota")
        assert world.phase(JOB, first) == "Suspended"
        assert reasons(world, first)["Evicted"] == "Deactivated"
        world.server.edit(JOB.value, first, suspend=False)
        await world.until(lambda: world.phase(JOB, first) == "Queued", "it waits again")

    world = tell_with_kueue(tell)
    assert {world.phase(JOB, name) for name in ("held", "next")} == {"Succeeded"}
    assert world.made_twice() == []
    assert_only_kueue_held_jobs(world)


def test_an_edit_while_it_waits_takes_effect_before_it_runs() -> None:
    async def tell(world: World, kueue: Kueue) -> None:
        world.apply(queued())
        await world.until(lambda: world.server.all("Workload"), "it waits")
        waiting = train_job(world)
        world.server.edit(JOB.value, "tuned", resources={"gpus": 1, "memory": "64Gi"})
        await world.until(lambda: world.server.find("Job", waiting) is None, "the waiting Job is gone")
        kueue.quota = 1

    world = tell_with_kueue(tell, quota=0)
    job = world.server.read("Job", train_job(world))
    assert job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "64Gi"
    assert world.phase(JOB, "tuned") == "Succeeded"


def test_a_cluster_without_kueue_has_nothing_to_watch_and_nothing_goes_wrong() -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job(), queued("stranded"))

    world = story(tell, settings=SETTINGS)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert (world.phase(JOB, "stranded"), reasons(world, "stranded")["Complete"]) == ("Queued", "WaitingForQuota")


@given(seed=seeds, moment=st.floats(min_value=0, max_value=60), pause=st.floats(min_value=0, max_value=30))
@examples(15)
def test_evictions_kills_and_bad_weather_lose_nothing(seed: int, moment: float, pause: float) -> None:
    async def tell(world: World, kueue: Kueue) -> None:
        world.apply(queued("first"), queued("second"))
        await asyncio.sleep(moment)
        admitted = [name for name in kueue.admissions if not _has_ended(world, name)]
        if admitted:
            kueue.evict(admitted[-1])
        await asyncio.sleep(pause)
        world.restart_operators()

    weather = Weather(failing=0.1, lost=0.1, repeated=0.1)
    world = tell_with_kueue(tell, seed=seed, weather=weather)
    assert {world.phase(JOB, name) for name in ("first", "second")} == {"Succeeded"}
    assert set(Counter(world.trainer.computed).values()) == {1}
    assert world.made_twice() == []
    assert_only_kueue_held_jobs(world)
    assert not any(BOOST_ANNOTATION in item["metadata"].get("annotations", {}) for item in world.server.all("Workload"))


def _has_ended(world: World, job: str) -> bool:
    found = world.server.find("Job", job)
    return found is None or bool((found.get("status") or {}).get("conditions"))
