"""Which model a Comparison is about: it waits until its candidate has left one, and is then bound to that one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_api.group import Kind
from finetune_operator.plan.actions import MakeSureItIsGone

from .building import (
    NOW,
    being_deleted,
    comparison,
    edited,
    fine_tune_job,
    moment,
    rerun,
    run_of,
    uid_of,
    with_status,
)
from .comparisons import SETTLED, finished, preparing, trained_job
from .deciding import decide, told
from .outcomes import (
    comparison_prepared,
)


def test_a_candidate_that_does_not_exist_is_waited_for() -> None:
    decision = decide(comparison())
    assert (decision.phase, decision.reason) == ("Pending", "WaitingForCandidate")
    assert "FineTuneJob tuned does not exist" in decision.message
    assert decision.status.run.finished_at is None


@pytest.mark.parametrize("phase", [None, "Pending", "Preparing", "Queued", "Training", "Suspended"])
def test_a_candidate_that_is_at_work_is_waited_for(phase: str | None) -> None:
    decision = decide(comparison(), with_status(fine_tune_job(), phase=phase))
    assert (decision.phase, decision.reason) == ("Pending", "WaitingForCandidate")
    assert (phase or "new") in decision.message
    assert decision.status.candidates[0].uid == uid_of(fine_tune_job())


def test_a_candidate_that_failed_fails_the_comparison_and_says_why() -> None:
    failed = {"type": "Failed", "status": "True", "reason": "DatasetInvalid", "message": "Line 3 is no JSON."}
    job = with_status(fine_tune_job(), phase="Failed", conditions=[{**failed, "lastTransitionTime": moment()}])
    decision = decide(comparison(), job)
    assert (decision.phase, decision.reason) == ("Failed", "CandidateFailed")
    assert "Line 3 is no JSON." in decision.message


def test_a_candidate_that_is_deleted_midway_fails_the_comparison() -> None:
    job = fine_tune_job()
    waiting = told(comparison(), job)
    for gone in ((), (being_deleted(job),)):
        decision = decide(waiting, *gone, now=SETTLED)
        assert (decision.phase, decision.reason) == ("Failed", "CandidateDeleted")
        assert "was deleted before it left a model" in decision.message


def test_a_candidate_that_the_watch_has_not_brought_yet_is_waited_for() -> None:
    """Another operator, which is about to end, may have seen it first."""
    waiting = told(comparison(), fine_tune_job())
    decision = decide(waiting)
    assert (decision.phase, decision.plan.look_again_seconds) == ("Pending", 30)
    assert "making sure" in decision.message


def test_a_namesake_of_the_candidate_is_not_what_was_asked_about() -> None:
    waiting = told(comparison(), fine_tune_job())
    assert decide(waiting, fine_tune_job(metadata={"uid": "another"})).reason == "CandidateDeleted"


def test_a_rerun_takes_the_namesake() -> None:
    waiting = told(comparison(), fine_tune_job())
    failed = told(waiting, now=SETTLED)
    namesake = fine_tune_job(metadata={"uid": "another"})
    decision = decide(rerun(failed), namesake)
    assert (decision.phase, decision.status.candidates[0].uid) == ("Pending", "another")


def test_an_edit_after_the_deletion_takes_the_namesake_too() -> None:
    failed = told(told(comparison(), fine_tune_job()), now=SETTLED)
    namesake = fine_tune_job(metadata={"uid": "another"})
    decision = decide(edited(failed, priorityClassName="research"), namesake)
    assert (decision.phase, decision.status.candidates[0].uid) == ("Pending", "another")


def test_another_candidate_in_an_edited_spec_is_asked_about_and_not_the_old_one() -> None:
    ended, job, model, *_ = finished()
    other = fine_tune_job("other")
    changed = edited(ended, candidates=[{"fineTuneJob": "other"}])
    decision = decide(changed, job, model, other)
    (candidate,) = decision.status.candidates
    assert (candidate.fine_tune_job, candidate.uid) == ("other", uid_of(other))
    assert (decision.phase, decision.status.summary) == ("Pending", None)


def test_a_candidate_that_has_succeeded_is_bound_to_its_run_and_model() -> None:
    there, job, model = preparing()
    (candidate,) = decide(comparison(), job, model).status.candidates
    assert (candidate.uid, candidate.run) == (uid_of(job), run_of(job))
    assert candidate.fine_tuned_model == model["metadata"]["name"]
    assert there["status"]["phase"] == "Preparing"


def test_a_bound_comparison_goes_on_whatever_the_job_does() -> None:
    there, job, model = preparing()
    children = comparison_prepared(there)
    for later in (rerun(job), with_status(job, phase="Failed"), fine_tune_job(metadata={"uid": "another"})):
        assert len(decide(there, later, model, *children).made(Kind.EVALUATION)) == 2
    assert len(decide(there, model, *children).made(Kind.EVALUATION)) == 2


def test_a_model_that_is_deleted_midway_fails_the_comparison() -> None:
    there, job, _ = preparing()
    decision = decide(there, job, now=SETTLED)
    assert (decision.phase, decision.reason) == ("Failed", "CandidateDeleted")
    assert "FineTunedModel" in decision.message


def test_nothing_is_called_deleted_before_the_api_server_was_asked() -> None:
    there, job, model = preparing()
    waiting = told(comparison(), fine_tune_job())
    asked = {
        MakeSureItIsGone(Kind.FINE_TUNED_MODEL, model["metadata"]["name"], None): decide(there, job, now=SETTLED),
        MakeSureItIsGone(Kind.FINE_TUNE_JOB, "tuned", uid_of(fine_tune_job())): decide(waiting, now=SETTLED),
    }
    for question, decision in asked.items():
        assert decision.reason == "CandidateDeleted"
        assert decision.plan.actions[0] == question


def test_a_model_that_the_watch_has_not_brought_yet_is_waited_for() -> None:
    job, _ = trained_job()
    just = decide(comparison(), job, now=NOW + timedelta(seconds=5))
    assert (just.phase, just.plan.look_again_seconds) == ("Pending", 25)
    later = decide(comparison(), job, now=NOW + timedelta(seconds=31))
    assert (later.phase, later.reason) == ("Failed", "CandidateDeleted")
