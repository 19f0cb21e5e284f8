"""Edits while a run is under way: what acts at once, what waits, and that nothing waits for ever."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.conditions import Reason
from finetune_api.group import Kind, Step
from finetune_api.results import PrepareTrainingResult

from .building import (
    Raw,
    comparison,
    edited,
    fine_tune_job,
    job_of,
    run_of,
    running,
    unscheduled,
    with_result,
    with_status,
)
from .child_outcomes import exits
from .deciding import decide, told
from .outcomes import prepare_done, prepared, queued, train_done, training

NO_SUCH_CLAIM = 'persistentvolumeclaim "modles" not found'
NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
OTHER_CLAIM = {"persistentVolumeClaim": {"claimName": "elsewhere"}}


def test_a_run_of_which_nothing_ever_started_gives_way_to_a_corrected_spec() -> None:
    misspelt = told(fine_tune_job(baseModel={"persistentVolumeClaim": {"claimName": "modles", "path": "llama"}}))
    waiting = job_of(misspelt, Step.PREPARE)
    right = edited(misspelt, baseModel={"persistentVolumeClaim": {"claimName": "models", "path": "llama"}})
    decision = decide(right, waiting, unscheduled(waiting, NO_SUCH_CLAIM))
    assert decision.deleted == [waiting["metadata"]["name"]]
    assert decision.jobs == [("prepare", 1)]
    assert decision.status.run.digest == run_of(right)
    assert decision.status.history == ()


def test_a_corrected_artifacts_claim_replaces_the_job_that_waits_for_the_wrong_one() -> None:
    wrong = told(fine_tune_job(artifacts={"persistentVolumeClaim": {"claimName": "artefacts"}}))
    waiting = job_of(wrong, Step.PREPARE)
    right = edited(wrong, artifacts=OTHER_CLAIM)
    around = (waiting, unscheduled(waiting, 'persistentvolumeclaim "artefacts" not found'))
    assert decide(right, *around).deleted == [waiting["metadata"]["name"]]
    decision = decide(told(right, *around))
    (made,) = decision.created
    volumes = made["spec"]["template"]["spec"]["volumes"]
    assert {"name": "artifacts", "persistentVolumeClaim": {"claimName": "elsewhere"}} in volumes
    assert decision.jobs == [("prepare", 2)]


def test_a_training_that_waits_for_gpus_takes_the_resources_of_the_edited_spec() -> None:
    job, *children = queued(fine_tune_job(resources={"gpus": 16}))
    smaller = edited(job, resources={"gpus": 1})
    *prepare, train, _ = children
    first = decide(smaller, *children)
    assert first.deleted == [train["metadata"]["name"]]
    assert first.jobs == [], "the old one goes first: two would write to the same folder"
    decision = decide(told(smaller, *children), *prepare)
    assert decision.jobs == [("train", 2)]
    (made,) = decision.created
    assert made["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert decision.status.failures == 0


def planned_for(gpus: int, nodes: int = 1) -> PrepareTrainingResult:
    found = prepared()
    return found.model_copy(update={"plan": found.plan.model_copy(update={"gpus": gpus, "nodes": nodes})})


def planned_job(gpus: int, nodes: int = 1, attempt: int = 1) -> tuple[Raw, ...]:
    """A job and what prepared it for so many GPUs."""
    job = told(fine_tune_job(resources={"gpus": gpus, "nodes": nodes}))
    return job, *prepared_in(job, attempt, planned_for(gpus, nodes))


def prepared_in(job: Raw, attempt: int, result: PrepareTrainingResult) -> tuple[Raw, Raw]:
    step = job_of(job, Step.PREPARE, attempt, ended="Complete")
    return step, with_result(step, result)


OTHER_RESOURCES = [({"gpus": 2}, {"gpus": 1}), ({"gpus": 0}, {"gpus": 1}), ({"gpus": 2}, {"gpus": 1, "nodes": 2})]


@pytest.mark.parametrize(("before", "after"), OTHER_RESOURCES)
def test_gpus_that_are_edited_before_the_training_are_planned_for_again(
    before: dict[str, int], after: dict[str, int]
) -> None:
    job, *first = planned_job(**before)
    other = edited(told(job), resources=after)
    decision = decide(other, *first)
    assert decision.jobs == [("prepare", 2)]
    assert (decision.phase, decision.status.plan) == ("Preparing", None)
    second = prepared_in(job, 2, planned_for(**after))
    decision = decide(told(other, *first), *first, *second)
    assert decision.jobs == [("train", 2)]
    assert (decision.status.plan.gpus, decision.status.plan.nodes) == (after["gpus"], after.get("nodes", 1))
    assert decision.status.failures == 0


@pytest.mark.parametrize("after", [{"gpus": 2}, {"gpus": 2, "memory": "64Gi"}])
def test_gpus_that_stay_need_no_other_plan(after: dict[str, Any]) -> None:
    job, *first = planned_job(2)
    assert decide(edited(told(job, *first), resources=after), *first).jobs == [("train", 1)]


def test_a_training_that_waits_for_gpus_is_planned_again_for_those_of_the_edited_spec() -> None:
    job, *first = planned_job(16)
    train = job_of(job, Step.TRAIN)
    around = (*first, train, unscheduled(train, NO_GPU))
    smaller = edited(told(job, *around), resources={"gpus": 1})
    assert decide(smaller, *around).deleted == [train["metadata"]["name"]]
    assert decide(told(smaller, *around), *first).jobs == [("prepare", 2)]


def test_a_training_that_failed_is_planned_again_for_the_gpus_that_the_next_attempt_gets() -> None:
    job, *first = planned_job(1)
    train = job_of(job, Step.TRAIN, ended="Failed")
    around = (*first, train, *exits(2, Reason.INSUFFICIENT_GPU_MEMORY)(train))
    failed = told(told(job, *first), *around)
    assert failed["status"]["phase"] == "Failed"
    larger = edited(failed, resources={"gpus": 2})
    again = told(larger, *around)
    assert decide(larger, *around).jobs == [("prepare", 2)]
    assert again["status"]["run"]["digest"] == failed["status"]["run"]["digest"], "its checkpoints are this run's"
    assert decide(again, *around, *prepared_in(job, 2, planned_for(2))).jobs == [("train", 2)]


def test_a_job_is_prepared_again_once_though_its_status_is_read_late() -> None:
    """The Job is there before the status that tells of it is seen."""
    job, *first = planned_job(2)
    other = edited(told(job, *first), resources={"gpus": 1})
    second = job_of(job, Step.PREPARE, 2)
    decision = decide(other, *first, second, running(second))
    assert (decision.jobs, decision.status.run.attempt) == ([], 2)


def test_a_training_that_runs_is_registered_with_the_gpus_that_it_was_planned_for() -> None:
    job, *first = planned_job(2)
    train = job_of(job, Step.TRAIN)
    job = edited(told(job, *first, train, running(train)), resources={"gpus": 4})
    assert decide(job, *first, train, running(train)).phase == "Training"
    (model,) = decide(told(job, *first, train, running(train)), *first, *train_done(job)).made(Kind.FINE_TUNED_MODEL)
    assert model["spec"]["parameters"]["gpus"] == 2


def test_a_training_that_runs_is_left_alone_when_resources_are_edited() -> None:
    job, *children = training(fine_tune_job())
    decision = decide(edited(job, resources={"gpus": 2}), *children)
    assert decision.jobs == []
    assert decision.deleted == []
    assert decision.phase == "Training"


def test_a_run_registers_its_model_on_the_claim_that_it_started_with() -> None:
    job, *_ = training(fine_tune_job())
    moved = edited(job, artifacts=OTHER_CLAIM)
    decision = decide(moved, *prepare_done(job), *train_done(job))
    (model,) = decision.made(Kind.FINE_TUNED_MODEL)
    assert model["spec"]["adapter"]["persistentVolumeClaim"]["claimName"] == "artifacts"


def test_a_comparison_waits_for_a_job_whose_spec_was_edited_after_it_failed() -> None:
    failed = with_status(fine_tune_job(), phase="Failed")
    mended = edited(failed, training={"epochs": 2})
    decision = decide(comparison(), mended)
    assert (decision.phase, decision.reason) == ("Pending", "WaitingForCandidate")
    assert "was changed" in decision.message
