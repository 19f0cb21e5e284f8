"""Evaluations are named by their content: made where they are missing, shared where they are not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_api.conditions import Reason
from finetune_api.group import Kind, Step
from finetune_api.orders import PrepareEvaluationOrder
from finetune_operator.views import Obstacle

from .building import (
    DIGEST,
    NOW,
    OTHER_DIGEST,
    Raw,
    being_deleted,
    comparison,
    edited,
    evaluation,
    fine_tune_job,
    job_of,
    made_by,
    moment,
    owned_by,
    rerun,
    uid_of,
    with_result,
    with_status,
)
from .comparisons import BASE, TUNED, evaluating, preparing
from .deciding import decide, order_of, told
from .outcomes import (
    comparison_prepared,
    evaluation_succeeded,
    resolved,
    succeeded,
)


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
    assert tuned["spec"]["model"] == {"fineTunedModel": model["metadata"]["name"], "shots": 0}
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
