"""The whole operator on a simulated cluster where nothing goes wrong: what it ends in, and what it costs."""

from __future__ import annotations

import asyncio

from .building import fine_tune_job
from .simulation.stories import (
    COMPARISON,
    EVALUATION,
    JOB,
    MODEL,
    business,
    one_job,
    undisturbed,
)
from .simulation.world import World, story


def test_everything_ends_as_it_should() -> None:
    world = undisturbed(business)
    assert {name: world.phase(JOB, name) for name in ("tuned", "flawed", "shaky")} == {
        "tuned": "Succeeded",
        "flawed": "Failed",
        "shaky": "Succeeded",
    }
    assert world.phase(COMPARISON, "compared") == "Succeeded"
    assert world.status(JOB, "tuned")["summary"]["verdict"] == "Improved"
    assert world.status(JOB, "shaky")["failures"] == 1
    assert world.phase(COMPARISON, "of-flawed") == "Failed"
    assert world.phase(EVALUATION, "scored") == "Succeeded"


def test_every_step_has_one_job_an_attempt() -> None:
    jobs = undisturbed(business).jobs()
    assert len(jobs) == len(set(jobs))
    assert [job for job in jobs if job[0] == "shaky"] == [
        ("shaky", "prepare", 1),
        ("shaky", "train", 1),
        ("shaky", "train", 2),
    ]


def test_both_comparisons_share_their_evaluations() -> None:
    world = undisturbed(business)
    made = [body for body in world.server.all(EVALUATION.value) if body["metadata"]["name"].startswith("eval-")]
    assert len(made) == 2
    assert {len(body["metadata"]["ownerReferences"]) for body in made} == {2}
    assert not any(owner.get("controller") for body in made for owner in body["metadata"]["ownerReferences"])


def test_what_comparisons_found_is_noted_on_the_model() -> None:
    world = undisturbed(business)
    name = world.status(JOB, "tuned")["fineTunedModel"]
    scores = world.status(MODEL, name)["scores"]
    assert {score["comparison"] for score in scores} == {"compared", name}
    assert world.status(MODEL, name)["training"] == world.status(JOB, "tuned")["training"]


def test_a_finished_job_costs_at_most_fourteen_writes() -> None:
    writes = [
        write for write in undisturbed(one_job).operator_writes() if write.kind != JOB.value or write.verb != "create"
    ]
    assert len(writes) <= 14, writes


def test_every_phase_is_told_by_one_event() -> None:
    events = [event["reason"] for event in undisturbed(one_job).server.all("Event")]
    assert events == ["Preparing", "Queued", "Training", "Succeeded"]


def test_nothing_is_written_when_nothing_happens() -> None:
    async def tell(world: World) -> None:
        await business(world)
        await world.settle()
        before, version = len(world.server.writes), world.server.version
        await asyncio.sleep(1800)
        assert (len(world.server.writes), world.server.version) == (before, version)

    story(tell)


def test_nothing_is_written_while_a_job_waits_for_a_gpu() -> None:
    async def tell(world: World) -> None:
        world.machinery.hold_pods = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
        world.apply(fine_tune_job())
        await world.until(lambda: "Insufficient" in str(world.status(JOB, "tuned")), "the wait is told")
        before = len(world.server.writes)
        await asyncio.sleep(1800)
        assert len(world.server.writes) == before
        world.machinery.hold_pods = ""

    assert story(tell).phase(JOB, "tuned") == "Succeeded"
