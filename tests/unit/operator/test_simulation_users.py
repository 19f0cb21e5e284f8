"""Whatever users do to a simulated cluster, at whatever moment: nothing that was finished is lost or done again."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from finetune_api.group import Kind

from .building import comparison, fine_tune_job
from .simulation.stories import (
    COMPARISON,
    EVALUATION,
    FINANCE,
    JOB,
    MODEL,
    examples,
    one_job,
    seeds,
    undisturbed,
)
from .simulation.trainer import KILLED_FOR_MEMORY
from .simulation.weather import Weather
from .simulation.world import World, story


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
    there = {("Job", job["metadata"]["name"]) for job in world.server.all("Job")}
    assert there.isdisjoint(world.made_twice()), "one Job a step, whatever is still asked for in the old one's name"


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
        await world.until(lambda: world.server.all(EVALUATION.value), "it evaluates")
        names = [body["metadata"]["name"] for body in world.server.all(EVALUATION.value)]
        world.trainer.endings[names[0], "evaluate"] = [KILLED_FOR_MEMORY]
        await world.until(lambda: world.phase(COMPARISON, "compared") == "Failed", "it fails")
        assert world.status(COMPARISON, "compared")["conditions"][2]["reason"] == "EvaluationFailed"
        await asyncio.sleep(5)
        world.server.edit(COMPARISON.value, "compared", resources={"memory": "64Gi"})

    world = story(tell)
    assert world.phase(COMPARISON, "compared") == "Succeeded"


def test_a_strangers_job_of_the_same_name_is_never_touched() -> None:
    stranger = undisturbed(one_job).server.all("Job")[0]

    async def tell(world: World) -> None:
        world.machinery.ignored.add(stranger["metadata"]["name"])
        stranger["metadata"] = {"name": stranger["metadata"]["name"], "namespace": "research"}
        world.server.create(stranger)
        world.apply(fine_tune_job())

    world = story(tell)
    assert world.phase(JOB, "tuned") == "Failed"
    assert world.status(JOB, "tuned")["conditions"][-1]["reason"] == "NameConflict"
    assert [write for write in world.server.writes if write.verb in ("delete", "suspend")] == []


@given(seed=seeds, ttl=st.sampled_from([0, 30, 3600]), kill=st.floats(min_value=0, max_value=60))
@examples(15)
def test_ended_jobs_go_after_their_time_to_live_and_nothing_is_done_again(seed: int, ttl: int, kill: float) -> None:
    follow_up = {"suite": {"builtin": "finance"}}

    async def tell(world: World) -> None:
        world.apply(fine_tune_job(evaluation=follow_up, ttlSecondsAfterFinished=ttl))
        await asyncio.sleep(kill)
        world.restart_operators()
        await world.until(lambda: "verdict" in str(world.status(JOB, "tuned").get("summary")), "a verdict")
        world.server.annotate(JOB.value, "tuned", "research/note", "looked at")
        await asyncio.sleep(ttl + 600)

    world = story(tell, seed=seed)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert (world.jobs(), world.server.all("Pod")) == ([], [])
    assert set(Counter(world.trainer.computed).values()) == {1}
    assert not world.made_twice()


@given(seed=seeds, moment=st.floats(min_value=0, max_value=40))
@examples(10)
def test_owners_that_are_taken_from_the_jobs_are_given_back(seed: int, moment: float) -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        await asyncio.sleep(moment)
        for job in world.server.all("Job"):
            world.server.strip_owners("Job", job["metadata"]["name"])

    world = story(tell, seed=seed)
    assert (world.phase(JOB, "tuned"), world.machinery.most_at_once) == ("Succeeded", 1)
    assert world.jobs() == [("tuned", "prepare", 1), ("tuned", "train", 1)]
    owner = world.server.read(JOB, "tuned")["metadata"]["uid"]
    for job in world.server.all("Job"):
        assert [(each["uid"], each["controller"]) for each in job["metadata"]["ownerReferences"]] == [(owner, True)]


@given(seed=seeds, moment=st.floats(min_value=0, max_value=40), back=st.booleans())
@examples(20)
def test_labels_that_are_taken_from_the_jobs_are_reported_or_the_work_goes_on(
    seed: int, moment: float, back: bool
) -> None:
    async def tell(world: World) -> None:
        world.apply(fine_tune_job())
        await asyncio.sleep(moment)
        taken = {job["metadata"]["name"]: job["metadata"]["labels"] for job in world.server.all("Job")}
        for name in taken:
            world.server.label("Job", name, {})
        await asyncio.sleep(3)
        for name, labels in taken.items() if back else ():
            world.server.label("Job", name, labels)
        before = len(world.server.writes)
        await asyncio.sleep(120)
        assert len(world.server.writes) - before < 30, "it does not spin"

    world = story(tell, seed=seed)
    assert world.machinery.most_at_once <= 1
    assert set(Counter(world.trainer.computed).values()) <= {1}
    if world.phase(JOB, "tuned") != "Succeeded":
        assert world.status(JOB, "tuned")["conditions"][-1]["reason"] == "NameConflict"
