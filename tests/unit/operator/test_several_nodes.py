"""Several nodes: pods that find each other, and of which one speaks, fails or waits for all."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.conditions import Reason
from finetune_api.group import Kind, Label, Step
from finetune_operator.apply import Applier
from finetune_operator.cluster import ApiError
from finetune_operator.digests import child_name, service_name
from finetune_operator.plan.actions import CreateChild
from finetune_operator.projections import resource_view

from .building import (
    NOW,
    Raw,
    ended,
    fine_tune_job,
    job_of,
    newer,
    ranked,
    running,
    starting,
    trouble,
    uid_of,
    unscheduled,
    with_result,
)
from .child_outcomes import GPU_MISSING, QUOTA
from .deciding import Decision, decide, scene, told
from .outcomes import TRAINED, prepare_done, queued
from .simulation.stories import JOB, assert_same_end, examples, seeds, undisturbed
from .simulation.trainer import Ending
from .simulation.weather import Weather
from .simulation.world import World, story
from .test_apply import Answers
from .test_names_and_manifests import LABEL, digests, legal_names, uids
from .test_training_job import environment, pod_of, train_job

TWO = {"resources": {"gpus": 4, "nodes": 2}}
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def creation(**spec: Any) -> CreateChild:
    """What is asked for once prepare is done."""
    job = told(fine_tune_job(**spec))
    (found,) = [action for action in decide(job, *prepare_done(job)).plan.actions if isinstance(action, CreateChild)]
    return found


# What they look like


def test_one_node_needs_no_service() -> None:
    assert creation().needs == ()


def test_several_nodes_are_an_indexed_job_of_which_all_pods_start_together() -> None:
    spec = train_job(**TWO)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 2, 2)
    assert spec["backoffLimit"] == 0, "one that fails ends the Job, and the others with it"


def test_pods_find_each_other_by_the_name_of_the_first() -> None:
    wanted = creation(**TWO)
    (service,) = wanted.needs
    name = service["metadata"]["name"]
    found = environment(wanted.manifest)
    assert pod_of(wanted.manifest)["subdomain"] == name
    assert found["FINETUNE_RENDEZVOUS"] == f"{wanted.manifest['metadata']['name']}-0.{name}:29500"
    assert found["FINETUNE_NODES"] == "2"
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert found["FINETUNE_NODE_RANK"] == {"fieldRef": {"fieldPath": index}}


def test_the_service_chooses_the_trainings_pods_before_they_are_ready() -> None:
    wanted = creation(**TWO)
    (service,) = wanted.needs
    labels = wanted.manifest["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert {Label.OWNER_UID, Label.RUN, Label.STEP} == service["spec"]["selector"].keys()
    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    (owner,) = service["metadata"]["ownerReferences"]
    assert owner["kind"] == Kind.FINE_TUNE_JOB.value


@given(name=legal_names, uid=uids, run=digests, attempt=st.integers(1, 10_000))
def test_service_and_hosts_have_legal_names_whatever_the_job_is_called(
    name: str, uid: str, run: str, attempt: int
) -> None:
    service = service_name(name, uid, run)
    assert SERVICE_NAME.fullmatch(service)
    assert len(service) <= 63
    host = f"{child_name(name, Step.TRAIN, uid, run, attempt)}-63"
    assert LABEL.fullmatch(host)
    assert len(host) <= 63


# How they are made


async def made(*answers: Raw | ApiError) -> tuple[Answers, Raw, Any]:
    job = told(fine_tune_job(**TWO))
    cluster, cache = Answers(*answers), scene(job).cache
    await Applier(resource_view(JOB, job), cluster, cache, NOW).carry_out(creation(**TWO))
    return cluster, job, cache.children(uid_of(job))


def answered(manifest: Any) -> Raw:
    return {**manifest, "metadata": {**manifest["metadata"], "uid": "1", "resourceVersion": "5"}}


async def test_the_service_is_made_before_the_job() -> None:
    wanted = creation(**TWO)
    cluster, _, children = await made(answered(wanted.needs[0]), answered(wanted.manifest))
    assert cluster.asked == ["create Service", "create Job"]
    assert len(children.items) == 1


async def test_the_service_of_an_earlier_attempt_is_used_again() -> None:
    wanted = creation(**TWO)
    taken = ApiError(409, "already exists")
    cluster, *_ = await made(taken, answered(wanted.needs[0]), answered(wanted.manifest))
    assert cluster.asked == ["create Service", "get Service", "create Job"]


async def test_without_the_service_there_is_no_job_and_the_cause_is_told() -> None:
    refusal = 'services "x" is forbidden: exceeded quota: team, requested: services=1'
    cluster, job, children = await made(ApiError(403, refusal))
    assert cluster.asked == ["create Service"]
    waiting = decide(job, *prepare_done(job), obstacles=dict(children.obstacles))
    assert (waiting.phase, waiting.reason) == ("Queued", Reason.WAITING_FOR_QUOTA)
    assert waiting.created == []
    assert "ResourceQuota team" in waiting.message


# How they stand


def deciding(*pods: tuple[Raw, int], **job_fields: Any) -> Decision:
    """With the training's Job, and its pods with their ranks."""
    there, *prepare, _, _ = queued(fine_tune_job(**TWO))
    train = train_of(there, **job_fields)
    return decide(there, *prepare, train, *(ranked(pod, rank) for pod, rank in pods))


def train_of(there: Raw, **fields: Any) -> Raw:
    train = job_of(there, Step.TRAIN, **fields)
    train["spec"]["completions"] = 2
    return train


def train(**fields: Any) -> Raw:
    return train_of(fine_tune_job(**TWO), **fields)


def test_training_begins_when_all_pods_run() -> None:
    both = deciding((running(train(), "a"), 0), (running(train(), "b"), 1))
    assert (both.phase, both.reason) == ("Training", Reason.RUNNING)


def test_all_nodes_are_named() -> None:
    other = running(train(), "b")
    other["spec"]["nodeName"] = "node-2"
    assert "on nodes node-1, node-2" in deciding((running(train(), "a"), 0), (other, 1)).message


def test_one_pod_that_waits_is_what_all_wait_for() -> None:
    for rank in (0, 1):
        waiting = deciding((unscheduled(train(), GPU_MISSING), rank), (running(train(), "b"), 1 - rank))
        assert (waiting.phase, waiting.reason) == ("Queued", Reason.WAITING_FOR_GPU)


def test_one_that_is_starting_is_waited_for() -> None:
    assert deciding((running(train(), "a"), 0), (starting(train()), 1)).reason == Reason.STARTING


def test_only_the_first_pods_result_counts() -> None:
    ended_well = train(ended="Complete")
    first, other = with_result(ended_well, TRAINED), ended(ended_well, 0, "", name="b")
    assert deciding((first, 0), (other, 1), ended="Complete").made(Kind.FINE_TUNED_MODEL)
    lost = deciding((ended(ended_well, 0, "", name="a"), 0), (with_result(ended_well, TRAINED), 1), ended="Complete")
    assert lost.made(Kind.FINE_TUNED_MODEL) == []
    assert (lost.phase, lost.reason) == ("Preparing", Reason.INTERNAL_ERROR)


@pytest.mark.parametrize(
    ("first", "other", "reason"),
    [
        ((1, ""), (137, "OOMKilled"), Reason.HOST_MEMORY_EXCEEDED),
        ((3, ""), (137, ""), Reason.POD_LOST),
        ((1, ""), (5, ""), Reason.OUT_OF_MEMORY),
        ((7, ""), (1, ""), Reason.OVERHEATED),
        ((4, ""), (6, ""), Reason.NON_FINITE_LOSS),
        ((4, ""), (1, ""), Reason.INTERNAL_ERROR),
        ((4, ""), (4, ""), Reason.PREEMPTED),
    ],
)
def test_the_pod_that_failed_is_blamed_and_not_those_that_lost_it(
    first: tuple[int, str], other: tuple[int, str], reason: Reason
) -> None:
    """In whichever order they ended, and whichever rank they had."""
    failed = train(ended="Failed")
    for ranks, seconds in (((0, 1), (-70, -60)), ((1, 0), (-60, -70))):
        pods = [
            (ended(failed, code, "", name=f"pod-{rank}", reason=why, seconds=at), rank)
            for (code, why), rank, at in zip((first, other), ranks, seconds, strict=True)
        ]
        assert deciding(*pods, ended="Failed").reason == reason


def test_of_two_alike_the_earlier_one_is_blamed() -> None:
    failed = train(ended="Failed")
    early, late = ended(failed, 1, "early", name="a", seconds=-70), ended(failed, 1, "late", name="b", seconds=-60)
    assert "early" in deciding((late, 0), (early, 1), ended="Failed").message


def test_one_killed_pod_brings_the_whole_training_back() -> None:
    failed = train(ended="Failed")
    decision = deciding((ended(failed, 137, name="b"), 1), ended="Failed")
    assert (decision.phase, decision.status.failures, decision.status.run.attempt) == ("Queued", 1, 2)


def test_pods_that_were_all_stopped_come_back_inside_their_job() -> None:
    decision = deciding((ended(train(), 4, name="a"), 0), (ended(train(), 4, name="b"), 1))
    assert (decision.phase, decision.reason) == ("Queued", Reason.PREEMPTED)
    assert (decision.status.failures, decision.status.run.attempt) == (0, 1)


def test_one_that_failed_beside_one_that_was_stopped_ends_the_job_in_a_moment() -> None:
    assert deciding((ended(train(), 4, name="a"), 0), (ended(train(), 1, name="b"), 1)).phase == "Training"


def test_a_pod_that_the_quota_refuses_is_told_of() -> None:
    there, *prepare, _, _ = queued(fine_tune_job(**TWO))
    job = train_of(there)
    decision = decide(there, *prepare, job, trouble(job, "FailedCreate", QUOTA))
    assert decision.reason == Reason.WAITING_FOR_QUOTA


def test_a_second_pod_that_the_quota_refuses_is_told_of_while_the_first_one_runs() -> None:
    there, *prepare, _, _ = queued(fine_tune_job(**TWO))
    job = train_of(there)
    first = ranked(running(job, "a"), 0)
    decision = decide(there, *prepare, job, first, trouble(job, "FailedCreate", QUOTA))
    assert (decision.phase, decision.reason) == ("Queued", Reason.WAITING_FOR_QUOTA)


def test_one_pod_that_has_done_its_part_does_not_change_what_is_told() -> None:
    assert deciding((running(train(), "a"), 0), (ended(train(), 0, name="b"), 1)).phase == "Training"


def test_an_edit_takes_effect_while_not_all_pods_run() -> None:
    """They only wait for each other: nothing is lost."""
    there, *prepare, _, _ = queued(fine_tune_job(**TWO))
    job = train_of(there)
    half = (ranked(running(job, "a"), 0), ranked(unscheduled(job, GPU_MISSING), 1))
    edited = newer(there)
    edited["spec"] |= {"resources": {"gpus": 4, "nodes": 1}}
    edited["metadata"]["generation"] += 1
    assert decide(edited, *prepare, job, *half).deleted == [job["metadata"]["name"]]
    whole = (ranked(running(job, "a"), 0), ranked(running(job, "b"), 1))
    assert decide(edited, *prepare, job, *whole).deleted == []


def test_only_the_first_pods_log_is_followed() -> None:
    job = train()
    there = scene(fine_tune_job(**TWO), job, ranked(running(job, "a"), 0), ranked(running(job, "b"), 1))
    assert [pod.rank for pod in there.cache.speaking_pods()] == [0]


# On a simulated cluster


async def on_two_nodes(world: World) -> None:
    world.apply(fine_tune_job(**TWO))


async def with_a_killed_worker(world: World) -> None:
    world.trainer.endings["tuned", "train-1"] = [Ending(137, "")]
    world.apply(fine_tune_job(**TWO))


def test_a_training_on_two_nodes_costs_one_write_more() -> None:
    def writes(tell: Any) -> int:
        return len(undisturbed(tell).operator_writes())

    world = undisturbed(on_two_nodes)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert [item.verb for item in world.operator_writes() if item.kind == "Service"] == ["create"]
    assert writes(on_two_nodes) <= 15


def test_a_killed_worker_brings_both_back_in_the_next_attempt() -> None:
    world = undisturbed(with_a_killed_worker)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert world.jobs() == [("tuned", "prepare", 1), ("tuned", "train", 1), ("tuned", "train", 2)]
    assert world.status(JOB, "tuned")["failures"] == 1
    assert len(world.server.all("Service")) == 1


def test_a_drained_node_brings_both_back_in_the_same_job() -> None:
    async def tell(world: World) -> None:
        await on_two_nodes(world)
        await world.until(lambda: world.phase(JOB, "tuned") == "Training", "both work")
        (pod,) = [
            body["metadata"]["name"]
            for body in world.server.all("Pod")
            if body["metadata"]["annotations"].get("batch.kubernetes.io/job-completion-index") == "1"
        ]
        world.machinery.delete_pod(pod)

    world = story(tell)
    assert world.phase(JOB, "tuned") == "Succeeded"
    assert world.status(JOB, "tuned").get("failures", 0) == 0
    assert world.jobs() == [("tuned", "prepare", 1), ("tuned", "train", 1)]


def test_the_service_goes_with_the_job_that_it_was_made_for() -> None:
    async def tell(world: World) -> None:
        await on_two_nodes(world)
        await world.until(lambda: world.phase(JOB, "tuned") == "Training", "both work")
        world.server.remove(JOB.value, "tuned")

    assert story(tell).server.all("Service") == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("write", range(5, 9))
def test_a_kill_around_the_service_or_the_job_ends_in_the_same_state(write: int, moment: str) -> None:
    world = story(with_a_killed_worker, killed_at=(write, moment))
    assert world.kills == 1
    assert_same_end(world, with_a_killed_worker)


@given(seed=seeds)
@examples(6)
def test_two_nodes_end_the_same_in_any_weather(seed: int) -> None:
    weather = Weather(event_delay_seconds=4, repeated=0.2, failing=0.1, request_seconds=0.5)
    assert_same_end(story(with_a_killed_worker, seed=seed, weather=weather), with_a_killed_worker)
