"""The queue as users live through it: places are told and taken back, and who was pushed out comes back by himself."""

from __future__ import annotations

import asyncio
from typing import Any

from .building import fine_tune_job
from .simulation.stories import JOB
from .simulation.world import World, story

GPU_MISSING = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
PREEMPTED = "Preempted by pod urgent on node node-1"


def pod_of(world: World, owner: str) -> Any:
    (pod,) = [
        pod
        for pod in world.server.all("Pod")
        if pod["metadata"]["labels"]["finetune.dev/owner-name"] == owner
        and pod["metadata"]["labels"]["finetune.dev/step"] == "train"
    ]
    return pod


def events(world: World, reason: str) -> list[Any]:
    return [event for event in world.server.all("Event") if event["reason"] == reason]


async def waits(world: World, name: str) -> None:
    await world.until(lambda: (name, "train", 1) in world.jobs(), "it is prepared")
    world.machinery.hold_pods = GPU_MISSING
    await world.until(lambda: pod_waits(world, name), "its pod finds no GPU")


def pod_waits(world: World, name: str) -> bool:
    conditions = world.status(JOB, name)["conditions"]
    return any(item["reason"] == "WaitingForGPU" for item in conditions)


def test_a_preempted_job_of_low_priority_comes_back_by_itself() -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job("low", priorityClassName="low"))
        await world.until(lambda: world.phase(JOB, "low") == "Training", "it trains")
        world.machinery.hold_pods = GPU_MISSING
        pod = pod_of(world, "low")
        pod["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True", "message": PREEMPTED}]
        world.server.report(pod)
        world.machinery.delete_pod(pod["metadata"]["name"])
        await world.until(lambda: world.phase(JOB, "low") == "Queued", "it waits again")
        await asyncio.sleep(600)
        world.machinery.hold_pods = ""

    world = story(tell)
    assert world.phase(JOB, "low") == "Succeeded"
    assert world.status(JOB, "low")["failures"] == 0
    (train,) = [job for job in world.server.all("Job") if job["metadata"]["labels"]["finetune.dev/step"] == "train"]
    assert train["spec"]["template"]["spec"]["priorityClassName"] == "low"
    assert world.made_twice() == []


def test_a_place_is_told_while_a_job_waits_and_taken_back_when_it_runs() -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job("tuned"))
        await waits(world, "tuned")
        await world.until(lambda: world.status(JOB, "tuned").get("queue"), "its place is told")
        assert world.status(JOB, "tuned")["queue"]["position"] == 1
        writes = len(world.operator_writes())
        await asyncio.sleep(900)
        assert len(world.operator_writes()) == writes, "what stays as it is costs nothing"
        world.restart_operators()
        await asyncio.sleep(120)
        assert len(world.operator_writes()) == writes, "nor does a restart"
        world.machinery.hold_pods = ""

    world = story(tell)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert "queue" not in world.status(JOB, "tuned")


def test_a_wait_of_two_hours_is_told_once_also_over_a_restart() -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job("tuned"))
        await waits(world, "tuned")
        await asyncio.sleep(7000)
        assert events(world, "LongWait") == []
        await asyncio.sleep(600)
        assert len(events(world, "LongWait")) == 1
        world.restart_operators()
        await asyncio.sleep(600)
        world.machinery.hold_pods = ""

    world = story(tell)
    assert len(events(world, "LongWait")) == 1
    assert world.phase(JOB, "tuned") == "Succeeded"
