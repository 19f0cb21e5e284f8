"""spec.ttlSecondsAfterFinished: Jobs are removed after the run's end, and nothing but them."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.group import Kind
from finetune_operator.plan.actions import ExpireJob

from .building import Raw, edited, fine_tune_job, uid_of
from .deciding import Decision, decide, told
from .outcomes import prepare_done, train_done, training
from .simulation.stories import JOB, MODEL, business, expiring_jobs, undisturbed
from .simulation.world import World, story

HOUR = 3600


def expiring(decision: Decision) -> dict[str, int]:
    """Seconds by the Job's uid."""
    actions = decision.plan.actions
    return {action.uid: action.ttl_seconds for action in actions if isinstance(action, ExpireJob)}


def ended(**spec: Any) -> tuple[Raw, ...]:
    """A job that has succeeded, and its Jobs and pods."""
    job = told(fine_tune_job(**spec))
    children = (*prepare_done(job), *train_done(job))
    registered = decide(told(job, *prepare_done(job)), *children).made(Kind.FINE_TUNED_MODEL)
    for model in registered:
        model["metadata"] |= {"uid": "uid-of-the-model", "generation": 1, "resourceVersion": "2000"}
    children = (*children, *registered)
    return told(told(job, *prepare_done(job)), *children), *children


def uids(children: tuple[Raw, ...]) -> set[str]:
    return {uid_of(body) for body in children if body["kind"] == "Job"}


def test_no_job_is_made_with_a_time_to_live_nor_gets_one_before_the_end_stands_in_the_status() -> None:
    job = told(fine_tune_job(ttlSecondsAfterFinished=HOUR))
    decision = decide(job)
    assert [body["spec"].get("ttlSecondsAfterFinished") for body in decision.created] == [None]
    at_work, *children = training(fine_tune_job(ttlSecondsAfterFinished=HOUR))
    assert expiring(decide(at_work, *children)) == {}
    done = (*prepare_done(at_work), *train_done(at_work))
    assert expiring(decide(at_work, *done)) == {}, "its results are told first"


@pytest.mark.parametrize("seconds", [0, HOUR])
def test_after_the_end_every_job_gets_its_time_once(seconds: int) -> None:
    job, *children = ended(ttlSecondsAfterFinished=seconds)
    assert job["status"]["phase"] == "Succeeded"
    assert expiring(decide(job, *children)) == dict.fromkeys(uids(tuple(children)), seconds)
    for body in children:
        if body["kind"] == "Job":
            body["spec"]["ttlSecondsAfterFinished"] = seconds
    assert expiring(decide(job, *children)) == {}


def test_another_time_acts_at_once_and_without_one_what_stands_there_is_left_alone() -> None:
    job, *children = ended(ttlSecondsAfterFinished=HOUR)
    for body in children:
        if body["kind"] == "Job":
            body["spec"]["ttlSecondsAfterFinished"] = HOUR
    longer = edited(job, ttlSecondsAfterFinished=2 * HOUR)
    assert expiring(decide(longer, *children)) == dict.fromkeys(uids(tuple(children)), 2 * HOUR)
    assert expiring(decide(edited(job, ttlSecondsAfterFinished=None), *children)) == {}


def test_jobs_that_are_gone_after_the_end_are_not_made_again_and_change_nothing_that_is_told() -> None:
    job, *children = ended(ttlSecondsAfterFinished=HOUR)
    left = [body for body in children if body["kind"] == Kind.FINE_TUNED_MODEL.value]
    decision = decide(job, *left)
    assert decision.created == []
    assert decision.status.to_manifest() == job["status"]


def test_a_story_whose_jobs_expire_ends_as_without_and_nothing_is_computed_again() -> None:
    world = undisturbed(expiring_jobs)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert world.jobs() == []
    assert world.server.all("Pod") == []
    assert len(world.server.all(MODEL.value)) == 1
    assert world.made_twice() == []
    assert len(world.status(JOB, "tuned")["attempts"]) == 2, "they are told though their Jobs are gone"


def test_a_status_that_is_lost_after_the_jobs_have_expired_is_found_again_on_the_volume() -> None:
    async def tell(world: World) -> None:
        await expiring_jobs(world)
        await world.settle()
        world.server.wipe_status(JOB.value, "tuned")

    world, reference = story(tell), undisturbed(expiring_jobs)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert sorted(world.trainer.computed) == sorted(reference.trainer.computed)
    assert world.jobs() == []


def test_without_a_time_to_live_all_jobs_stay() -> None:
    assert len(undisturbed(business).jobs("tuned")) > 0
