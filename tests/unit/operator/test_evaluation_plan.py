"""An Evaluation's way: what is to be evaluated is worked out by content first, then a GPU is asked for."""

from __future__ import annotations

import pytest

from finetune_api.evaluation import NoiseFloor
from finetune_api.group import Step
from finetune_api.orders import EvaluateOrder, PrepareEvaluationOrder
from finetune_api.results import EvaluateResult

from .building import (
    DIGEST,
    OTHER_DIGEST,
    Raw,
    being_deleted,
    edited,
    evaluation,
    fine_tune_job,
    job_of,
    rerun,
    running,
    uid_of,
    with_result,
)
from .child_outcomes import exits
from .deciding import decide, order_of, told
from .outcomes import evaluated, evaluation_succeeded, resolved, succeeded


def prepare_done(body: Raw, done: EvaluateResult | None = None) -> tuple[Raw, Raw]:
    step = job_of(body, Step.PREPARE, ended="Complete")
    return step, with_result(step, resolved(done=done))


def test_content_is_worked_out_before_a_gpu_is_asked_for() -> None:
    decision = decide(evaluation())
    order = order_of(decision.created[0])
    assert isinstance(order, PrepareEvaluationOrder)
    assert "nvidia.com/gpu" not in str(decision.created[0])
    assert decision.phase == "Preparing"


def test_the_model_is_asked_by_the_content_that_was_found() -> None:
    body = told(evaluation(decoding={"maxNewTokens": 9}))
    decision = decide(body, *prepare_done(body))
    order = order_of(decision.created[0])
    assert isinstance(order, EvaluateOrder)
    assert (order.digest, order.decoding.max_new_tokens, order.gpus) == (DIGEST, 9, 1)
    assert (decision.phase, decision.status.digest) == ("Queued", DIGEST)


def test_scores_are_told_by_task_with_the_place_of_the_answers() -> None:
    body = evaluation()
    status = evaluation_succeeded(body)["status"]
    assert (status["phase"], status["score"], status["seconds"]) == ("Succeeded", "0.5", "61.5")
    assert [task["name"] for task in status["tasks"]] == ["eps-extraction"]
    assert status["predictions"]["claimName"] == "artifacts"
    assert status["predictions"]["path"].startswith(f"research/{uid_of(body)}/")
    assert status["predictions"]["path"].endswith("/evaluate")


def test_scores_that_are_on_the_volume_cost_no_gpu() -> None:
    body = told(evaluation())
    decision = decide(body, *prepare_done(body, evaluated()))
    assert (decision.phase, decision.created) == ("Succeeded", [])


def test_how_many_answers_are_noise_is_told() -> None:
    body = told(evaluation())
    noise = NoiseFloor(examples=20, changed_answers=3, changed_scores=1)
    decision = decide(body, *prepare_done(body, evaluated().model_copy(update={"noise": noise})))
    assert decision.status.noise == noise


@pytest.mark.parametrize("score", ["nan", "inf", "", "half"])
def test_a_score_that_is_no_number_is_never_told(score: str) -> None:
    body = told(evaluation())
    evaluate = job_of(body, Step.EVALUATE, ended="Complete")
    decision = decide(body, *prepare_done(body), evaluate, with_result(evaluate, evaluated(score=score)))
    assert (decision.phase, decision.reason, decision.status.score) == ("Preparing", "InternalError", None)


def test_a_model_that_does_not_exist_is_waited_for() -> None:
    decision = decide(evaluation(model={"fineTunedModel": "tuned-1"}))
    assert (decision.phase, decision.reason) == ("Pending", "WaitingForCandidate")
    assert "FineTunedModel tuned-1 does not exist" in decision.message


def test_a_fine_tuned_model_is_its_base_with_its_adapter() -> None:
    *_, model = succeeded(fine_tune_job())
    body = evaluation(model={"fineTunedModel": model["metadata"]["name"]})
    order = order_of(decide(body, model).created[0])
    assert isinstance(order, PrepareEvaluationOrder)
    (asked,) = order.models
    assert (asked.base_model_digest, asked.adapter_digest) == (DIGEST, DIGEST)
    assert asked.adapter is not None
    assert asked.adapter.volume == "/inputs/claims/artifacts"


def test_an_evaluation_at_work_does_not_need_its_model_any_more() -> None:
    body = told(evaluation(model={"fineTunedModel": "tuned-1"}))
    evaluate = job_of(body, Step.EVALUATE)
    assert decide(body, evaluate, running(evaluate)).phase == "Evaluating"
    done = job_of(body, Step.EVALUATE, ended="Complete")
    assert decide(body, done, with_result(done, evaluated())).phase == "Succeeded"


def test_content_that_is_pinned_is_part_of_the_order() -> None:
    order = order_of(decide(evaluation(digest=OTHER_DIGEST)).created[0])
    assert isinstance(order, PrepareEvaluationOrder)
    assert order.expected_digest == OTHER_DIGEST


def test_content_that_changed_fails_for_good() -> None:
    body = told(evaluation(digest=OTHER_DIGEST))
    step = job_of(body, Step.PREPARE, ended="Failed")
    pod = exits(2)(step)[0]
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    terminated["message"] = '{"result": "failure", "reason": "ContentChanged", "message": "The suite was changed."}'
    decision = decide(body, step, pod)
    assert (decision.phase, decision.reason) == ("Failed", "ContentChanged")
    assert decision.holds["Stalled"] == "True"


def test_an_edit_of_what_is_asked_starts_over_and_keeps_the_old_run() -> None:
    body = evaluation_succeeded(evaluation())
    decision = decide(edited(body, decoding={"maxNewTokens": 9}))
    assert (decision.jobs, decision.phase, decision.status.score) == ([("prepare", 1)], "Preparing", None)
    assert [item.phase for item in decision.status.history] == ["Succeeded"]


def test_a_rerun_asks_again() -> None:
    assert decide(rerun(evaluation_succeeded(evaluation()))).jobs == [("prepare", 1)]


def test_an_evaluation_that_is_being_deleted_is_left_alone() -> None:
    assert decide(being_deleted(told(evaluation()))).plan.actions == ()
