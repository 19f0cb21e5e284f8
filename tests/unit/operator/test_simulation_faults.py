"""Whatever goes wrong between operator and API server, and in whatever order events come, the end is the same and
nothing is computed twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.group import Kind

from .building import fine_tune_job
from .simulation.faults import Schedule, WatchesFrozen
from .simulation.oracles import told_under
from .simulation.stories import (
    JOB,
    assert_same_end,
    business,
    compared_job,
    examples,
    one_job,
    seeds,
    undisturbed,
)
from .simulation.weather import Weather
from .simulation.world import World, story

MANY = 40

# Events in any order


@given(seed=seeds)
@examples(12)
def test_events_in_any_order_and_any_number_end_in_the_same_state(seed: int) -> None:
    weather = Weather(event_delay_seconds=6, repeated=0.3)
    assert_same_end(story(business, seed=seed, weather=weather), business)


@given(seed=seeds)
@examples(10)
def test_lost_events_delay_but_change_nothing_that_was_computed(seed: int) -> None:
    """An attempt may be given up whose pod was never heard of: then prepare finds the result on the volume."""
    world, reference = (
        story(business, seed=seed, weather=Weather(lost=0.3, event_delay_seconds=1)),
        undisturbed(business),
    )
    for kind in Kind:
        names = [body["metadata"]["name"] for body in reference.server.all(kind.value)]
        assert sorted(body["metadata"]["name"] for body in world.server.all(kind.value)) == sorted(names)
        assert {name: world.phase(kind, name) for name in names} == {
            name: reference.phase(kind, name) for name in names
        }
    assert Counter(world.trainer.computed) == Counter(reference.trainer.computed)
    assert world.made_twice() == []


def test_any_single_event_may_be_lost() -> None:
    """Within a relist the story goes on, with one attempt more at the most."""
    (operator,) = undisturbed(compared_job).operators
    wrong = {}
    for number in range(operator.events):
        plan = Schedule(0, Weather(lost_event=number), ())
        wrong[number] = told_under(plan, compared_job)
    assert operator.events > 50
    assert {number: lines for number, lines in wrong.items() if lines} == {}


def test_watches_that_freeze_are_given_up_and_the_story_goes_on_within_ninety_seconds() -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        await world.until(lambda: world.phase(JOB, "tuned") == "Training", "it trains")
        await WatchesFrozen(0, expired=False).strike(world)
        await asyncio.sleep(20)
        assert world.phase(JOB, "tuned") == "Succeeded"

    assert_same_end(story(tell), one_job)


def test_after_a_410_what_was_deleted_meanwhile_is_made_anew() -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        await world.until(lambda: world.phase(JOB, "tuned") == "Training", "it trains")
        (train,) = [job["metadata"]["name"] for job in world.server.all("Job") if "train" in job["metadata"]["name"]]
        frozen = asyncio.create_task(WatchesFrozen(0, expired=True).strike(world))
        await asyncio.sleep(1)
        world.server.remove("Job", train)
        await frozen

    world = story(tell)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert world.machinery.most_at_once == 1
    assert set(Counter(world.trainer.computed).values()) == {1}


def test_a_job_whose_deletion_nobody_told_of_is_not_waited_for_for_ever() -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        await world.until(lambda: world.phase(JOB, "tuned") == "Training", "it trains")
        (train,) = [job["metadata"]["name"] for job in world.server.all("Job") if "train" in job["metadata"]["name"]]
        world.server.down = True
        world.server.remove("Job", train)
        await asyncio.sleep(30)
        world.server.down = False

    world = story(tell)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert world.jobs() == [("tuned", "prepare", 1), ("tuned", "train", 1)]


# The operator is killed


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("write", range(1, 13))
def test_a_kill_around_any_write_ends_in_the_same_state(write: int, moment: str) -> None:
    world = story(one_job, killed_at=(write, moment))
    assert world.kills == 1
    assert_same_end(world, one_job)


@given(seed=seeds, write=st.integers(min_value=1, max_value=100), moment=st.sampled_from(["before", "after"]))
@examples(15)
def test_a_kill_around_any_write_of_a_busy_operator_ends_in_the_same_state(seed: int, write: int, moment: str) -> None:
    assert_same_end(story(business, seed=seed, killed_at=(write, moment)), business)


@given(seed=seeds, pauses=st.lists(st.floats(min_value=0.1, max_value=40), min_size=1, max_size=8))
@examples(8)
def test_kills_at_any_time_end_in_the_same_state(seed: int, pauses: list[float]) -> None:
    async def tell(world: World) -> None:
        await business(world)
        for pause in pauses:
            await asyncio.sleep(pause)
            world.restart_operators()
            await asyncio.sleep(2.5)

    assert_same_end(story(tell, seed=seed), business)


# The API server fails


@given(seed=seeds)
@examples(10)
def test_one_request_in_ten_may_fail_also_after_it_was_carried_out(seed: int) -> None:
    assert_same_end(story(business, seed=seed, weather=Weather(failing=0.1)), business)


def test_an_api_server_that_is_down_for_a_minute_is_waited_for() -> None:
    async def tell(world: World) -> None:
        await business(world)
        await asyncio.sleep(15)
        world.server.down = True
        await asyncio.sleep(60)
        world.server.down = False
        await asyncio.sleep(95)
        assert world.phase(JOB, "flawed") == "Failed"

    world = story(tell)
    assert {world.phase(JOB, name) for name in ("tuned", "shaky")} == {"Succeeded"}
    assert Counter(world.trainer.computed) == Counter(undisturbed(business).trainer.computed)


async def many_jobs(world: World) -> None:
    world.apply(*(fine_tune_job(f"job-{number}") for number in range(MANY)))


def test_when_one_request_in_ten_fails_all_end_at_most_a_third_more_writes_are_made() -> None:
    world = story(many_jobs, weather=Weather(failing=0.1))
    assert {world.phase(JOB, f"job-{number}") for number in range(MANY)} == {"Succeeded"}
    assert len(world.operator_writes()) <= 1.3 * len(undisturbed(many_jobs).operator_writes())


@given(seed=seeds)
@examples(10)
def test_a_429_says_when_to_come_again_and_nobody_comes_sooner(seed: int) -> None:
    world = story(business, seed=seed, weather=Weather(throttled=0.3))
    assert world.came_too_soon == []
    assert_same_end(world, business)


@given(seed=seeds)
@examples(10)
def test_two_operators_at_once_make_one_job_each(seed: int) -> None:
    world = story(business, seed=seed, operators=2, weather=Weather(event_delay_seconds=2, request_seconds=0.5))
    assert_same_end(world, business)


@given(seed=seeds, write=st.integers(min_value=1, max_value=100), moment=st.sampled_from(["before", "after"]))
@examples(12)
def test_everything_at_once_ends_in_the_same_state(seed: int, write: int, moment: str) -> None:
    weather = Weather(event_delay_seconds=4, repeated=0.2, failing=0.1, request_seconds=0.5)
    assert_same_end(story(business, seed=seed, weather=weather, killed_at=(write, moment)), business)
