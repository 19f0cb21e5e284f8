"""The whole operator on a simulated cluster: whatever happens, and in whatever order, it ends in the same state, and
nothing is computed twice."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from functools import cache

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.group import Kind

from .building import Raw, comparison, evaluation, fine_tune_job
from .simulation.trainer import KILLED_FOR_MEMORY, fails
from .simulation.weather import Weather
from .simulation.world import Story, World, story

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
    world.trainer.endings["flawed", "prepare"] = [fails(ExitCode.USER, Reason.DATASET_INVALID)]
    world.trainer.endings["shaky", "train"] = [fails(ExitCode.INFRASTRUCTURE, Reason.STORAGE_FAILED)]
    world.apply(
        fine_tune_job("tuned", evaluation=FINANCE),
        comparison("compared", candidate="tuned"),
        fine_tune_job("flawed"),
        comparison("of-flawed", candidate="flawed"),
        fine_tune_job("shaky"),
        evaluation("scored", model={"baseModel": model_source(), "quantization": "int8"}),
    )


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


# In calm weather


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


# What users do


@given(seed=seeds, moment=st.floats(min_value=0, max_value=60))
@examples(12)
def test_a_status_that_is_wiped_at_any_time_costs_no_computation(seed: int, moment: float) -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job(evaluation=FINANCE))
        await asyncio.sleep(moment)
        for kind in Kind:
            for body in world.server.all(kind.value):
                world.server.wipe_status(kind.value, body["metadata"]["name"])

    world = story(tell, seed=seed)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert world.status(JOB, "tuned")["summary"]["verdict"] == "Improved"
    assert set(Counter(world.trainer.computed).values()) == {1}
    assert world.made_twice() == []


@given(seed=seeds, moment=st.floats(min_value=0, max_value=60))
@examples(15)
def test_status_and_children_that_are_lost_together_cost_no_finished_training(seed: int, moment: float) -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        await asyncio.sleep(moment)
        for job in world.server.all("Job"):
            world.server.remove("Job", job["metadata"]["name"])
        world.server.wipe_status(JOB.value, "tuned")

    world = story(tell, seed=seed)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert Counter(world.trainer.computed).most_common(1)[0][1] == 1
    assert len(world.server.all(MODEL.value)) == 1


@given(seed=seeds, moments=st.lists(st.floats(min_value=0, max_value=25), min_size=1, max_size=3))
@examples(15)
def test_suspending_and_resuming_at_any_time_costs_nothing(seed: int, moments: list[float]) -> None:
    """A Job whose pod never ran may be made anew; one that worked goes on."""

    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        for moment in moments:
            await asyncio.sleep(moment)
            world.server.edit(JOB.value, "tuned", suspend=True)
            world.restart_operators()
            await asyncio.sleep(moment)
            world.server.edit(JOB.value, "tuned", suspend=False)

    world = story(tell, seed=seed)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert [step for _, step, _ in world.jobs()] == ["prepare", "train"]
    assert world.status(JOB, "tuned")["failures"] == 0
    assert world.machinery.most_at_once == 1
    assert set(Counter(world.trainer.computed).values()) == {1}


def test_a_suspended_job_holds_no_pod() -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        await world.until(lambda: world.phase(JOB, "tuned") == "Training", "it trains")
        world.server.edit(JOB.value, "tuned", suspend=True)

    world = story(tell)
    assert world.phase(JOB, "tuned") == "Suspended"
    assert [pod for pod in world.server.all("Pod") if pod["status"]["phase"] == "Running"] == []
    assert [event["reason"] for event in world.server.all("Event")].count("Suspended") == 1


@given(seed=seeds, moments=st.lists(st.floats(min_value=0, max_value=25), min_size=1, max_size=4))
@examples(15)
def test_deleted_pods_come_back_inside_their_job(seed: int, moments: list[float]) -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        for moment in moments:
            await asyncio.sleep(moment)
            for pod in world.server.all("Pod"):
                if pod["status"]["phase"] == "Running":
                    world.machinery.delete_pod(pod["metadata"]["name"])

    world = story(tell, seed=seed)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert world.jobs() == [("tuned", "prepare", 1), ("tuned", "train", 1)]
    assert world.status(JOB, "tuned")["failures"] == 0


@given(seed=seeds, moment=st.floats(min_value=0, max_value=40))
@examples(15)
def test_a_job_that_is_deleted_by_hand_is_made_again_after_its_pod_has_ended(seed: int, moment: float) -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        await asyncio.sleep(moment)
        for job in world.server.all("Job"):
            world.server.remove("Job", job["metadata"]["name"])

    world = story(tell, seed=seed)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert world.machinery.most_at_once == 1
    assert Counter(world.trainer.computed).most_common(1)[0][1] == 1


@given(seed=seeds, moment=st.floats(min_value=0, max_value=60))
@examples(15)
def test_a_namesake_takes_nothing_over(seed: int, moment: float) -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        await asyncio.sleep(moment)
        world.server.remove(JOB.value, "tuned")
        world.apply(fine_tune_job())

    weather = Weather(event_delay_seconds=3, repeated=0.3)
    world = story(tell, seed=seed, weather=weather)
    assert world.phase(JOB, "tuned") == "Succeeded"
    uid = world.server.read(JOB.value, "tuned")["metadata"]["uid"]
    assert uid.endswith("-2")
    assert {job["metadata"]["ownerReferences"][0]["uid"] for job in world.server.all("Job")} == {uid}
    model = world.server.read(MODEL.value, world.status(JOB, "tuned")["fineTunedModel"])
    assert model["spec"]["fineTuneJob"]["uid"] == uid
    assert world.made_twice() == [(JOB.value, "tuned")]


@given(seed=seeds, moment=st.floats(min_value=0, max_value=60))
@examples(12)
def test_a_deleted_resource_leaves_nothing_behind_also_while_the_operator_is_down(seed: int, moment: float) -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job(evaluation=FINANCE))
        await asyncio.sleep(moment)
        world.restart_operators(pause_seconds=30)
        world.server.remove(JOB.value, "tuned")

    world = story(tell, seed=seed)
    left = {body["kind"] for body in world.server.all("Job") + world.server.all("Pod")}
    left |= {body["kind"] for kind in (JOB, COMPARISON, EVALUATION) for body in world.server.all(kind.value)}
    assert left == set()


@given(seed=seeds, moment=st.floats(min_value=0, max_value=60))
@examples(12)
def test_an_edit_at_any_time_ends_in_two_runs_or_one(seed: int, moment: float) -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        await asyncio.sleep(moment)
        world.server.edit(JOB.value, "tuned", training={"epochs": 9})

    world = story(tell, seed=seed)
    assert world.phase(JOB, "tuned") == "Succeeded"
    digests = {world.status(JOB, "tuned")["run"]["digest"]} | {
        item["digest"] for item in world.status(JOB, "tuned")["history"]
    }
    models = {model["spec"]["fineTuneJob"]["run"] for model in world.server.all(MODEL.value)}
    assert digests == models
    assert world.status(JOB, "tuned")["run"]["spec"]["training"] == {"epochs": 9}


def test_a_job_that_was_killed_for_memory_goes_on_when_it_is_given_more() -> None:
    async def tell(world: World) -> None:
        world.trainer.endings["tuned", "train"] = [KILLED_FOR_MEMORY]
        world.apply(fine_tune_job())
        await world.until(lambda: world.phase(JOB, "tuned") == "Failed", "it fails")
        world.server.edit(JOB.value, "tuned", resources={"memory": "64Gi"})

    world = story(tell)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert world.jobs() == [("tuned", "prepare", 1), ("tuned", "train", 1), ("tuned", "train", 2)]


def test_a_comparison_whose_evaluation_failed_goes_on_when_it_is_edited() -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job(), comparison())
        await world.until(lambda: world.phase(COMPARISON, "compared") == "Evaluating", "it evaluates")
        names = [body["metadata"]["name"] for body in world.server.all(EVALUATION.value)]
        world.trainer.endings[names[0], "evaluate"] = [KILLED_FOR_MEMORY]
        await world.until(lambda: world.phase(COMPARISON, "compared") == "Failed", "it fails")
        assert world.status(COMPARISON, "compared")["conditions"][2]["reason"] == "EvaluationFailed"
        await asyncio.sleep(5)
        world.server.edit(COMPARISON.value, "compared", resources={"memory": "64Gi"})

    world = story(tell)
    assert world.phase(COMPARISON, "compared") == "Succeeded"


def test_a_strangers_job_of_the_same_name_is_never_touched() -> None:
    async def tell(world: World) -> None:
        stranger = undisturbed(one_job).server.all("Job")[0]
        world.machinery.ignored.add(stranger["metadata"]["name"])
        stranger["metadata"] = {"name": stranger["metadata"]["name"], "namespace": "research"}
        world.server.create(stranger)
        world.apply(fine_tune_job())

    world = story(tell)
    assert world.phase(JOB, "tuned") == "Failed"
    assert world.status(JOB, "tuned")["conditions"][-1]["reason"] == "NameConflict"
    assert [write for write in world.server.writes if write.verb in ("delete", "suspend")] == []
