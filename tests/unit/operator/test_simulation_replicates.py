"""A recipe with several seeds in a simulated cluster: whatever happens meanwhile, each seed is trained once."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode

from .building import fine_tune_job
from .simulation.stories import COMPARISON, FINANCE, JOB, MODEL, assert_same_end, examples, seeds, undisturbed
from .simulation.trainer import fails
from .simulation.weather import Weather
from .simulation.world import World, story

SEEDS = [1, 2, 3, 4, 5]


async def a_recipe(world: World) -> None:
    world.apply(fine_tune_job("recipe", training={"seeds": SEEDS}, evaluation=FINANCE))


def test_five_seeds_are_trained_and_compared_together() -> None:
    world = undisturbed(a_recipe)
    status = world.status(JOB, "recipe")
    assert (status["phase"], status["summary"]["verdict"]) == ("Succeeded", "Improved")
    assert [item["seed"] for item in status["replicates"]] == SEEDS
    assert len({item["fineTunedModel"] for item in status["replicates"]}) == 5
    comparison = world.status(COMPARISON, status["comparison"])
    assert comparison["recipe"]["seeds"] == 5 and len(comparison["candidates"]) == 5
    trained = Counter(step for _, step in world.trainer.computed)
    assert trained["train"] == 5 and world.jobs("recipe") == []


@given(seed=seeds)
@examples(6)
def test_events_and_requests_that_fail_change_nothing_of_the_end(seed: int) -> None:
    weather = Weather(event_delay_seconds=2, repeated=0.2, lost=0.1, failing=0.1)
    assert_same_end(story(a_recipe, seed=seed, weather=weather), a_recipe)


@given(seed=seeds, write=st.integers(min_value=1, max_value=80), moment=st.sampled_from(["before", "after"]))
@examples(10)
def test_an_operator_that_is_killed_at_any_write_changes_nothing_of_the_end(seed: int, write: int, moment: str) -> None:
    assert_same_end(story(a_recipe, seed=seed, killed_at=(write, moment)), a_recipe)


@given(seed=seeds, moment=st.floats(min_value=0, max_value=40))
@examples(6)
def test_suspending_and_resuming_at_any_time_costs_nothing(seed: int, moment: float) -> None:
    async def tell(world: World) -> None:
        await a_recipe(world)
        await asyncio.sleep(moment)
        world.server.edit(JOB.value, "recipe", suspend=True)
        await asyncio.sleep(60)
        assert [pod for pod in world.server.all("Pod") if pod["status"]["phase"] == "Running"] == [] or (
            world.phase(JOB, "recipe") == "Succeeded"
        )
        world.server.edit(JOB.value, "recipe", suspend=False)

    world = story(tell, seed=seed)
    assert world.phase(JOB, "recipe") == "Succeeded"
    assert set(Counter(world.trainer.computed).values()) == {1}
    assert len(world.server.all(MODEL.value)) == 5


def test_a_deleted_recipe_takes_its_replicates_along_and_leaves_their_models() -> None:
    async def tell(world: World) -> None:
        await a_recipe(world)
        await world.until(lambda: world.phase(JOB, "recipe") == "Succeeded", "all are trained")
        world.server.delete(JOB.value, "recipe")

    world = story(tell)
    assert world.server.all(JOB.value) == [] and len(world.server.all(MODEL.value)) == 5


def test_a_replicate_that_failed_is_trained_anew_after_an_edit_and_the_others_are_not() -> None:
    async def tell(world: World) -> None:
        await a_recipe(world)
        await world.until(lambda: len(world.server.all(JOB.value)) == 6, "replicates are made")
        names = (body["metadata"]["name"] for body in world.server.all(JOB.value))
        name = next(name for name in names if name.startswith("recipe-seed-3-"))
        world.trainer.endings[name, "prepare"] = [fails(ExitCode.USER, Reason.DATASET_INVALID)]
        await world.until(lambda: world.phase(JOB, "recipe") == "Failed", "it fails")
        assert "(seed 3) failed" in str(world.status(JOB, "recipe")["conditions"])
        await asyncio.sleep(5)
        world.server.edit(JOB.value, "recipe", retry={"limit": 4})

    world = story(tell)
    assert world.phase(JOB, "recipe") == "Succeeded"
    assert Counter(step for _, step in world.trainer.computed)["train"] == 5
