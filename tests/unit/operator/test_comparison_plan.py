"""A Comparison's way: it waits for its candidate, shares or makes Evaluations by content, and says the verdict."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_api.conditions import Reason
from finetune_api.group import Kind, Step
from finetune_api.orders import CompareOrder, PrepareEvaluationOrder
from finetune_operator.digests import evaluation_name
from finetune_operator.views import Obstacle

from .building import (
    DIGEST,
    NOW,
    OTHER_DIGEST,
    Raw,
    being_deleted,
    comparison,
    decide,
    edited,
    evaluation,
    fine_tune_job,
    job_of,
    made_by,
    moment,
    newer,
    owned_by,
    rerun,
    run_of,
    running,
    told,
    uid_of,
    with_result,
    with_status,
)
from .outcomes import (
    as_served,
    compared,
    comparison_prepared,
    evaluation_succeeded,
    evaluations_of,
    model_of,
    resolved,
    succeeded,
    training,
)
from .test_finetunejob_plan import order_of

SETTLED = NOW + timedelta(seconds=31)
"""When what is not seen is not there."""
BASE, TUNED = evaluation_name(DIGEST), evaluation_name(OTHER_DIGEST)


def trained_job() -> tuple[Raw, Raw]:
    """A FineTuneJob that has succeeded, and its model."""
    job, *_, model = succeeded(fine_tune_job())
    return job, model


def preparing() -> tuple[Raw, Raw, Raw]:
    job, model = trained_job()
    return told(comparison(), job, model), job, model


def evaluating() -> tuple[Raw, ...]:
    """Both Evaluations were made, and nothing came of them yet."""
    there, job, model = preparing()
    children = comparison_prepared(there)
    base, tuned = evaluations_of(there, job, model, *children)
    others = (job, model, *children, base, tuned)
    return told(there, job, model, *children), *others


def comparing() -> tuple[Raw, ...]:
    """Both have succeeded, and the compare Job works."""
    there, job, model, *prepare, base, tuned = evaluating()
    done = (evaluation_succeeded(base), evaluation_succeeded(tuned, OTHER_DIGEST))
    compare = job_of(there, Step.COMPARE)
    others = (job, model, *prepare, *done, compare, running(compare))
    return told(there, *others), *others


def finished() -> tuple[Raw, ...]:
    there, *others, _, _ = comparing()
    compare = job_of(there, Step.COMPARE, ended="Complete")
    children = (*others, compare, with_result(compare, compared()))
    return told(there, *children), *children


# The candidate


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


def test_a_model_that_the_watch_has_not_brought_yet_is_waited_for() -> None:
    job, _ = trained_job()
    just = decide(comparison(), job, now=NOW + timedelta(seconds=5))
    assert (just.phase, just.plan.look_again_seconds) == ("Pending", 25)
    later = decide(comparison(), job, now=NOW + timedelta(seconds=31))
    assert (later.phase, later.reason) == ("Failed", "CandidateDeleted")


# Evaluations, shared by content


def test_prepare_asks_for_the_content_of_both_sides() -> None:
    there, job, model = preparing()
    (made,) = decide(comparison(gate={"mustNotRegress": ["eps-extraction"]}), job, model).created
    order = order_of(made)
    assert isinstance(order, PrepareEvaluationOrder)
    assert [item.name for item in order.models] == ["base", "tuned"]
    assert order.models[1].adapter_digest == DIGEST
    assert order.gate is not None
    assert there["status"]["phase"] == "Preparing"


def test_missing_evaluations_are_made_under_the_name_of_their_content() -> None:
    there, job, model = preparing()
    decision = decide(there, job, model, *comparison_prepared(there))
    base, tuned = decision.made(Kind.EVALUATION)
    assert [base["metadata"]["name"], tuned["metadata"]["name"]] == [BASE, TUNED]
    assert [base["spec"]["digest"], tuned["spec"]["digest"]] == [DIGEST, OTHER_DIGEST]
    assert base["spec"]["model"]["baseModel"] == model["spec"]["baseModel"]["source"]
    assert tuned["spec"]["model"] == {"fineTunedModel": model["metadata"]["name"]}
    assert base["spec"]["model"]["quantization"] == "none", "in the form in which the candidate is scored"
    for made in (base, tuned):
        (owner,) = made["metadata"]["ownerReferences"]
        assert owner["uid"] == uid_of(there)
        assert "controller" not in owner, "others may share it"
    assert decision.phase == "Evaluating"
    assert (decision.status.baseline_evaluation, decision.status.candidates[0].evaluation) == (BASE, TUNED)
    assert decision.status.minimum_detectable_effect == "0.05"


def test_a_candidate_that_is_called_like_the_baseline_is_not_taken_for_it() -> None:
    job, *_, model = succeeded(fine_tune_job("base"))
    there = told(comparison(candidate="base"), job, model)
    step = job_of(there, Step.PREPARE, ended="Complete")
    children = (step, with_result(step, resolved(("base", DIGEST), ("base", OTHER_DIGEST))))
    base, tuned = decide(there, job, model, *children).made(Kind.EVALUATION)
    assert (base["spec"]["digest"], tuned["spec"]["digest"]) == (DIGEST, OTHER_DIGEST)


def test_a_prepare_that_names_one_side_only_is_a_defect_of_ours() -> None:
    there, job, model = preparing()
    step = job_of(there, Step.PREPARE, ended="Complete")
    decision = decide(there, job, model, step, with_result(step, resolved(("base", DIGEST))))
    assert (decision.phase, decision.reason) == ("Preparing", "InternalError")


def by_somebody_else(body: Raw) -> Raw:
    """An Evaluation that another Comparison had made."""
    other = comparison("another")
    return owned_by(made_by(body, other), other)


def test_an_evaluation_that_another_comparison_made_is_shared() -> None:
    there, job, model = preparing()
    found = by_somebody_else(evaluation_succeeded(evaluation(BASE)))
    decision = decide(there, job, model, *comparison_prepared(there), found)
    assert [body["metadata"]["name"] for body in decision.made(Kind.EVALUATION)] == [TUNED]
    assert decision.shared == [BASE]


def test_an_evaluation_is_shared_before_its_content_is_known() -> None:
    there, job, model = preparing()
    found = by_somebody_else(evaluation(BASE))
    decision = decide(there, job, model, *comparison_prepared(there), found)
    assert decision.shared == [BASE]
    assert f"Evaluation {BASE} is new" in decision.message


def test_an_evaluation_that_a_user_wrote_is_used_but_not_owned() -> None:
    there, job, model = preparing()
    found = evaluation_succeeded(evaluation("of-the-user"))
    decision = decide(there, job, model, *comparison_prepared(there), found)
    assert decision.status.baseline_evaluation == "of-the-user"
    assert [body["metadata"]["name"] for body in decision.made(Kind.EVALUATION)] == [TUNED]
    assert decision.shared == []


def test_one_that_has_succeeded_goes_before_one_that_is_at_work() -> None:
    there, job, model = preparing()
    working = with_status(evaluation("a-first-by-name"), phase="Evaluating", digest=DIGEST)
    done = evaluation_succeeded(evaluation("b-second-by-name"))
    decision = decide(there, job, model, *comparison_prepared(there), working, done)
    assert decision.status.baseline_evaluation == "b-second-by-name"


@pytest.mark.parametrize("useless", ["failed", "being deleted", "of other content"])
def test_an_evaluation_that_is_of_no_use_is_passed_over(useless: str) -> None:
    there, job, model = preparing()
    found = evaluation_succeeded(evaluation("of-the-user"))
    match useless:
        case "failed":
            found = with_status(found, phase="Failed")
        case "being deleted":
            found = being_deleted(found)
        case _:
            found = with_status(found, digest="sha256:" + "1" * 64)
    decision = decide(there, job, model, *comparison_prepared(there), found)
    assert decision.status.baseline_evaluation == BASE


def test_a_users_evaluation_of_other_content_under_the_same_name_is_a_conflict() -> None:
    there, job, model = preparing()
    found = evaluation_succeeded(evaluation(BASE), digest="sha256:" + "1" * 64)
    decision = decide(there, job, model, *comparison_prepared(there), found)
    assert (decision.phase, decision.reason) == ("Failed", "NameConflict")


def test_an_evaluation_that_the_api_server_refuses_is_told() -> None:
    there, job, model = preparing()
    children = comparison_prepared(there)
    obstacle = Obstacle(Reason.WAITING_FOR_QUOTA, "Too many Evaluations.", NOW, 30)
    decision = decide(there, job, model, *children, obstacles={(Kind.EVALUATION.value, BASE): obstacle})
    assert (decision.phase, decision.reason) == ("Evaluating", "WaitingForQuota")
    assert [body["metadata"]["name"] for body in decision.made(Kind.EVALUATION)] == [TUNED]
    assert decision.plan.look_again_seconds == 30


def test_both_evaluations_are_waited_for_and_their_progress_is_told() -> None:
    there, *others, base, tuned = evaluating()
    half = {"percentage": 50, "step": 1, "steps": 2}
    base = with_status(base, phase="Evaluating", digest=DIGEST, progress=half)
    decision = decide(there, *others, base, tuned)
    assert decision.created == []
    assert decision.status.progress.percentage == 25
    assert f"Evaluation {BASE} is Evaluating (50%)" in decision.message


def failed_evaluation(body: Raw, seconds: float) -> Raw:
    condition = {"type": "Failed", "status": "True", "reason": "HostMemoryExceeded", "message": "Raise the memory."}
    run = {"digest": "0" * 16, "startedAt": moment(seconds - 60), "finishedAt": moment(seconds)}
    return with_status(body, phase="Failed", run=run, conditions=[{**condition, "lastTransitionTime": moment(seconds)}])


def test_an_evaluation_that_fails_fails_the_comparison_and_says_why() -> None:
    there, *others, base, tuned = evaluating()
    decision = decide(there, *others, base, failed_evaluation(tuned, 10))
    assert (decision.phase, decision.reason) == ("Failed", "EvaluationFailed")
    assert "Raise the memory." in decision.message
    assert decision.deleted == []


@pytest.mark.parametrize("how", ["rerun", "edit"])
def test_an_evaluation_that_failed_before_is_made_anew_when_the_comparison_is_taken_up_again(how: str) -> None:
    there, *others, base, tuned = evaluating()
    broken = failed_evaluation(tuned, 10)
    failed = told(there, *others, base, broken, now=NOW + timedelta(seconds=11))
    again = rerun(failed) if how == "rerun" else edited(failed, resources={"memory": "64Gi"})
    later, attempt = NOW + timedelta(seconds=30), 1 if how == "rerun" else 2
    again = told(again, *others, base, broken, now=later)
    others = [*others, *comparison_prepared(again, attempt=attempt)]
    decision = decide(again, *others, base, broken, now=later)
    assert decision.deleted == [TUNED]
    assert decision.phase == "Evaluating"
    meanwhile = told(again, *others, base, broken, now=later)
    assert decide(meanwhile, *others, base, being_deleted(broken), now=later).created == []
    without = told(meanwhile, *others, base, now=later)
    (made,) = decide(without, *others, base, now=later).made(Kind.EVALUATION)
    assert made["metadata"]["name"] == TUNED
    if how == "edit":
        assert made["spec"]["resources"]["memory"] == "64Gi"


def test_a_users_failed_evaluation_is_never_deleted() -> None:
    there, job, model = preparing()
    failed = failed_evaluation(evaluation(BASE), -100)
    decision = decide(there, job, model, *comparison_prepared(there), with_status(failed, digest=DIGEST))
    assert decision.deleted == []
    assert decision.reason == "EvaluationFailed"


def test_an_evaluation_that_is_deleted_midway_is_made_again() -> None:
    there, *others, base, _ = evaluating()
    assert [body["metadata"]["name"] for body in decide(there, *others, base).made(Kind.EVALUATION)] == [TUNED]


def test_an_evaluation_that_is_deleted_after_prepares_pod_is_prepared_for_again() -> None:
    there, job, model, prepare, _, base, _ = evaluating()
    waiting = told(there, job, model, prepare, base)
    assert waiting["status"]["phase"] == "Preparing"
    assert decide(waiting, job, model, prepare, base).jobs == [("prepare", 2)]


# The verdict


def test_the_answers_are_paired_when_both_have_succeeded() -> None:
    there, *others, base, tuned = evaluating()
    done = (evaluation_succeeded(base), evaluation_succeeded(tuned, OTHER_DIGEST))
    decision = decide(there, *others, *done)
    assert (decision.phase, decision.jobs) == ("Comparing", [("compare", 1)])
    order = order_of(decision.created[0])
    assert isinstance(order, CompareOrder)
    assert (order.baseline.digest, order.candidate.digest) == (DIGEST, OTHER_DIGEST)
    assert order.cost is not None
    assert order.cost.training_hours == "0.5"


def test_the_cost_is_not_taken_from_a_namesake() -> None:
    there, job, model, *prepare, base, tuned = evaluating()
    namesake = newer(job)
    namesake["metadata"]["uid"] = "another"
    namesake["status"]["training"]["hours"] = "99"
    done = (evaluation_succeeded(base), evaluation_succeeded(tuned, OTHER_DIGEST))
    noted = with_status(model, training={**job["status"]["training"], "hours": "0.7"})
    order = order_of(decide(there, namesake, noted, *prepare, *done).created[0])
    assert isinstance(order, CompareOrder)
    assert order.cost is not None
    assert order.cost.training_hours == "0.7"


def test_the_verdict_is_told_in_a_line_and_in_a_sentence() -> None:
    there, *others = finished()
    status = there["status"]
    assert status["phase"] == "Succeeded"
    assert status["summary"] == {"base": "0.40", "tuned": "0.60", "delta": "+0.20", "verdict": "Improved"}
    (candidate,) = status["candidates"]
    job, model = others[:2]
    assert (candidate["uid"], candidate["run"]) == (uid_of(job), run_of(job))
    assert (candidate["fineTunedModel"], candidate["evaluation"]) == (model["metadata"]["name"], TUNED)
    assert status["report"]["path"] == f"research/{uid_of(there)}/{run_of(there)}/compare/report.html"
    complete = next(item for item in status["conditions"] if item["type"] == "Complete")
    assert complete["reason"] == "Compared"
    assert complete["message"] == "tuned against its baseline: Improved (0.40 to 0.60, 95% interval 0.15 to 0.25)."


def test_a_gate_that_is_not_passed_is_a_result_and_not_a_failure() -> None:
    there, *others, _, _ = comparing()
    compare = job_of(there, Step.COMPARE, ended="Complete")
    decision = decide(there, *others, compare, with_result(compare, compared(passed=False)))
    assert (decision.phase, decision.reason) == ("Succeeded", "GateFailed")
    assert "Gates not passed: minImprovementPercent." in decision.message


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "much"])
def test_a_verdict_whose_numbers_are_none_is_never_told(number: str) -> None:
    there, *others, _, _ = comparing()
    compare = job_of(there, Step.COMPARE, ended="Complete")
    decision = decide(there, *others, compare, with_result(compare, compared(delta=number)))
    assert (decision.phase, decision.reason) == ("Comparing", "InternalError")
    assert decision.status.summary is None


def test_a_comparison_that_ended_asks_for_nothing_more() -> None:
    there, *others = finished()
    assert decide(there, *others).plan.actions == ()


def test_a_verdict_is_taken_even_where_model_and_evaluations_are_deleted_meanwhile() -> None:
    there, *_ = comparing()
    compare = job_of(there, Step.COMPARE, ended="Complete")
    decision = decide(there, compare, with_result(compare, compared()))
    assert decision.phase == "Succeeded"


def test_a_comparison_at_work_is_not_disturbed_by_the_deletion_of_an_evaluation() -> None:
    there, job, model, *_, compare, pod = comparing()
    decision = decide(there, job, model, compare, pod)
    assert (decision.phase, decision.created) == ("Comparing", [])


def test_a_lost_status_repeats_neither_evaluations_nor_the_comparison() -> None:
    there, *others = finished()
    lost = newer(there)
    lost["status"] = {"observedGeneration": -1}
    decision = decide(lost, *others)
    assert (decision.phase, decision.created) == ("Succeeded", [])
    assert decision.status.candidates == decide(comparing()[0], *others).status.candidates


def test_a_comparison_that_is_being_deleted_is_left_alone() -> None:
    there, *others = evaluating()
    assert decide(being_deleted(there), *others).plan.actions == ()


def test_the_baseline_may_be_another_model() -> None:
    job, model = trained_job()
    other = {"persistentVolumeClaim": {"claimName": "models", "path": "mistral"}}
    there = told(comparison(baseline={"baseModel": other}), job, model)
    base, _ = decide(there, job, model, *comparison_prepared(there)).made(Kind.EVALUATION)
    assert base["spec"]["model"]["baseModel"] == other


def test_what_the_operator_makes_is_taken_for_its_own_when_it_is_served() -> None:
    there, job, model = preparing()
    children = comparison_prepared(there)
    made = [as_served(body) for body in decide(there, job, model, *children).made(Kind.EVALUATION)]
    decision = decide(there, job, model, *children, *made)
    assert (decision.created, decision.shared, decision.deleted) == ([], [], [])


def test_a_training_candidate_becomes_a_bound_one_without_being_named_again() -> None:
    job, *children = training(fine_tune_job())
    waiting = told(comparison(), job)
    done, model = trained_job()
    assert decide(waiting, done, model).phase == "Preparing"
    assert children and model_of(job)["metadata"]["name"] == model["metadata"]["name"]
