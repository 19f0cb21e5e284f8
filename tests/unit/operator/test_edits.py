"""Edits while a run is under way: what acts at once, what waits, and that nothing waits for ever."""

from __future__ import annotations

from finetune_api.group import Kind, Step

from .building import comparison, edited, fine_tune_job, job_of, run_of, unscheduled, with_status
from .deciding import decide, told
from .outcomes import prepare_done, queued, train_done, training

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
