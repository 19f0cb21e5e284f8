"""What is told of a simulated cluster, and how its end is judged."""

from __future__ import annotations

import os
from collections import Counter
from functools import cache

from hypothesis import Phase, settings
from hypothesis import strategies as st

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.group import Kind

from ..building import Raw, comparison, evaluation, fine_tune_job
from .trainer import fails
from .world import Story, World, story

JOB, COMPARISON, EVALUATION, MODEL = Kind.FINE_TUNE_JOB, Kind.COMPARISON, Kind.EVALUATION, Kind.FINE_TUNED_MODEL
FINANCE = {"suite": {"builtin": "finance"}}

seeds = st.integers(min_value=0, max_value=2**32)


STORIES = int(os.environ.get("FINETUNE_STORIES", "1"))
"""How many times as many stories to tell, and other ones, when somebody is looking for a rare one."""


def examples(number: int) -> settings:
    """A story is told by its seed and has no smaller form that fails in the same way: nothing is shrunk."""
    return settings(
        max_examples=number * STORIES,
        derandomize=STORIES == 1,
        deadline=None,
        database=None,
        phases=[Phase.generate],
    )


async def one_job(world: World) -> None:
    world.apply(fine_tune_job())


async def business(world: World) -> None:
    """A job that is compared twice, one whose dataset is wrong, one whose training fails once, one score of its own."""
    world.trainer.endings["flawed", "prepare"] = [fails(ExitCode.USER, Reason.DATASET_INVALID)] * 9
    world.trainer.endings["shaky", "train"] = [fails(ExitCode.INFRASTRUCTURE, Reason.STORAGE_FAILED)]
    world.apply(
        fine_tune_job("tuned", evaluation=FINANCE),
        comparison("compared", candidate="tuned"),
        fine_tune_job("flawed"),
        comparison("of-flawed", candidate="flawed"),
        fine_tune_job("shaky"),
        evaluation("scored", model={"baseModel": model_source(), "quantization": "int8"}),
    )


async def a_recipe(world: World) -> None:
    """One job with several seeds, and what they show together."""
    world.apply(fine_tune_job("recipe", training={"seeds": [1, 2, 3]}, evaluation=FINANCE))


async def compared_job(world: World) -> None:
    """A job whose training fails once, and the Comparison that follows by itself."""
    world.trainer.endings["tuned", "train"] = [fails(ExitCode.INFRASTRUCTURE, Reason.STORAGE_FAILED)]
    world.apply(fine_tune_job(evaluation=FINANCE))


async def expiring_jobs(world: World) -> None:
    """The same, and Kubernetes removes the Jobs soon after the end."""
    world.trainer.endings["tuned", "train"] = [fails(ExitCode.INFRASTRUCTURE, Reason.STORAGE_FAILED)]
    world.apply(fine_tune_job(evaluation=FINANCE, ttlSecondsAfterFinished=10))


STORIES_UNDER_FIRE: dict[Story, int] = {one_job: 4, compared_job: 4, expiring_jobs: 3, business: 2, a_recipe: 1}
"""With how often each is told."""


def model_source() -> Raw:
    return {"persistentVolumeClaim": {"claimName": "models", "path": "llama"}}


@cache
def undisturbed(tell: Story) -> World:
    return story(tell)


def assert_same_end(world: World, tell: Story) -> None:
    reference = undisturbed(tell)
    assert world.end_state() == reference.end_state()
    assert world.made_twice() == []
    assert Counter(world.trainer.computed) == Counter(reference.trainer.computed)
