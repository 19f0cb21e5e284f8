"""A Comparison with several candidates: all are waited for, each is evaluated and compared once, the best is named.
One that left no model is left out."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.comparison import PairwiseEffect, Ranking
from finetune_api.group import Kind, Label, Step
from finetune_api.orders import CompareOrder, PrepareEvaluationOrder
from finetune_api.results import CompareResult, cut_name
from finetune_operator.digests import part_name
from finetune_operator.plan.actions import MakeSureItIsGone

from .building import (
    DIGEST,
    OTHER_DIGEST,
    Raw,
    comparison,
    ended,
    fine_tune_job,
    job_of,
    made_by,
    moment,
    newer,
    rerun,
    running,
    with_result,
    with_status,
)
from .comparisons import SETTLED
from .deciding import decide, order_of, told
from .outcomes import compared, evaluation_succeeded, evaluations_of, resolved, succeeded

NAMES = ("first", "second")
THIRD_DIGEST = "sha256:" + "3" * 64


def trained(name: str) -> tuple[Raw, Raw]:
    job, *_, model = succeeded(fine_tune_job(name))
    return job, model


def of_both(**spec: object) -> Raw:
    return comparison(candidates=[{"fineTuneJob": name} for name in NAMES], **spec)


def both_trained() -> tuple[Raw, ...]:
    return (*trained("first"), *trained("second"))


def prepared(there: Raw, *digests: str) -> tuple[Raw, Raw]:
    step = job_of(there, Step.PREPARE, ended="Complete")
    named = zip(("base", *NAMES), digests or (DIGEST, OTHER_DIGEST, THIRD_DIGEST), strict=True)
    return step, with_result(step, resolved(*named))


def comparing(**spec: object) -> tuple[Raw, ...]:
    """All Evaluations have succeeded; no compare Job is there yet."""
    models = both_trained()
    there = told(of_both(**spec), *models)
    others = (*models, *prepared(there))
    made = evaluations_of(there, *others)
    there = told(there, *others)
    digests = (DIGEST, OTHER_DIGEST, THIRD_DIGEST)
    done = [evaluation_succeeded(each, digest) for each, digest in zip(made, digests, strict=True)]
    return there, *others, *done


def compare_job(there: Raw, name: str, *, done: str | None = None) -> Raw:
    return job_of(there, Step.COMPARE, ended=done, part=part_name(name))


def result_for(name: str, rank: int, *, passed: bool = True) -> CompareResult:
    result = compared(name, passed=passed)
    ranking = Ranking(rank=rank, p_holm="0.002", lower="0.1", upper="0.3")
    return result.model_copy(update={"candidate": result.candidate.model_copy(update={"ranking": ranking})})


def done_for(there: Raw, name: str, rank: int, *, passed: bool = True) -> tuple[Raw, Raw]:
    job = compare_job(there, name, done="Complete")
    return job, with_result(job, result_for(name, rank, passed=passed))


def test_all_candidates_are_waited_for_and_those_that_are_there_are_bound() -> None:
    decision = decide(of_both(), *trained("first"), fine_tune_job("second"))
    assert (decision.phase, decision.reason) == ("Pending", "WaitingForCandidate")
    assert "FineTuneJob second" in decision.message and "first" not in decision.message
    first, second = decision.status.candidates
    assert first.fine_tuned_model is not None and second.fine_tuned_model is None


def failed(name: str, **metadata: Any) -> Raw:
    why = {"type": "Failed", "status": "True", "reason": "DatasetInvalid", "message": "Line 3 is no JSON."}
    conditions = [{**why, "lastTransitionTime": moment()}]
    return with_status(fine_tune_job(name, metadata=metadata), phase="Failed", conditions=conditions)


@pytest.mark.parametrize("failing", NAMES)
def test_a_candidate_that_failed_is_told_of_while_the_others_are_waited_for(failing: str) -> None:
    jobs = [failed(name) if name == failing else with_status(fine_tune_job(name), phase="Training") for name in NAMES]
    decision = decide(of_both(), *jobs)
    assert (decision.phase, decision.reason, decision.created) == ("Pending", "WaitingForCandidate", [])
    assert f"It is left out: FineTuneJob {failing} failed: Line 3 is no JSON." in decision.message
    assert all(item.left_out is None for item in decision.status.candidates), "it may still be mended"


@pytest.mark.parametrize("failing", NAMES)
def test_the_others_are_compared_without_a_candidate_that_failed(failing: str) -> None:
    (other,) = set(NAMES) - {failing}
    decision = decide(of_both(), failed(failing), *trained(other))
    order = order_of(decision.created[0])
    assert isinstance(order, PrepareEvaluationOrder)
    assert [item.name for item in order.models] == ["base", other]
    assert {item.fine_tune_job: item.left_out for item in decision.status.candidates} == {
        failing: f"FineTuneJob {failing} failed: Line 3 is no JSON.",
        other: None,
    }


def test_a_candidate_that_was_deleted_is_left_out_once_the_api_server_says_so_too() -> None:
    there = told(of_both(), fine_tune_job("first"), fine_tune_job("second"))
    decision = decide(there, *trained("second"), now=SETTLED)
    first, second = decision.status.candidates
    assert first.left_out is not None and "was deleted before it left a model" in first.left_out
    assert second.left_out is None
    assert isinstance(decision.plan.actions[0], MakeSureItIsGone)
    assert decision.plan.actions[0].name == "first"


def test_a_comparison_without_any_candidate_fails_and_says_why() -> None:
    decision = decide(of_both(), *map(failed, NAMES))
    assert (decision.phase, decision.reason) == ("Failed", "CandidateFailed")
    assert "FineTuneJob first failed" in decision.message


def comparing_the_second_alone() -> tuple[Raw, ...]:
    """The first failed; base and second are evaluated."""
    models = (failed("first"), *trained("second"))
    there = told(of_both(), *models)
    step = job_of(there, Step.PREPARE, ended="Complete")
    others = (*models, step, with_result(step, resolved(("base", DIGEST), ("second", OTHER_DIGEST))))
    made = evaluations_of(there, *others)
    there = told(there, *others)
    done = [evaluation_succeeded(each, digest) for each, digest in zip(made, (DIGEST, OTHER_DIGEST), strict=True)]
    return there, *others, *done


def test_what_was_left_out_is_told_in_order_and_status_to_the_end() -> None:
    there, *others = comparing_the_second_alone()
    (made,) = decide(there, *others).created
    order = order_of(made)
    assert isinstance(order, CompareOrder)
    assert (order.candidate.name, order.rivals) == ("second", ())
    assert [(item.name, item.why) for item in order.left_out] == [
        ("first", "FineTuneJob first failed: Line 3 is no JSON.")
    ]
    job = compare_job(there, "second", done="Complete")
    decision = decide(there, *others, job, with_result(job, compared("second")))
    assert (decision.phase, decision.reason) == ("Succeeded", "Compared")
    assert "Left out: FineTuneJob first failed" in decision.message
    first, second = decision.status.candidates
    assert (first.left_out is not None, first.verdict, second.left_out, second.verdict) == (
        True,
        None,
        None,
        "Improved",
    )
    assert decision.status.report == second.report
    assert decision.status.summary is not None


def test_what_was_left_out_stays_out_of_this_run_though_it_is_mended() -> None:
    there, _, *others = comparing_the_second_alone()
    order = order_of(decide(there, *trained("first"), *others).created[0])
    assert isinstance(order, CompareOrder) and [item.name for item in order.left_out] == ["first"]


def test_a_rerun_asks_for_what_was_left_out_again() -> None:
    there, first, *others = comparing_the_second_alone()
    job = compare_job(there, "second", done="Complete")
    done = (*others, job, with_result(job, compared("second")))
    there = told(there, first, *done)
    assert there["status"]["phase"] == "Succeeded"
    decision = decide(rerun(there), *trained("first"), *done)
    order = order_of(decision.created[0])
    assert isinstance(order, PrepareEvaluationOrder)
    assert [item.name for item in order.models] == ["base", "first", "second"]
    assert all(item.left_out is None for item in decision.status.candidates)


def test_a_lost_status_leaves_out_the_same_one() -> None:
    there, *others = comparing_the_second_alone()
    forgotten = newer(there)
    forgotten["status"] = {"observedGeneration": -1}
    decision = decide(forgotten, *others)
    assert [item.left_out is None for item in decision.status.candidates] == [False, True]
    order = order_of(decision.created[0])
    assert isinstance(order, PrepareEvaluationOrder) and [item.name for item in order.models] == ["base", "second"]


def test_a_model_that_is_deleted_once_all_are_bound_ends_the_comparison() -> None:
    there, *others = comparing()
    without = [each for each in others if each["kind"] != "FineTunedModel" or "first" not in each["metadata"]["name"]]
    assert len(without) == len(others) - 1
    decision = decide(there, *without, now=SETTLED)
    assert (decision.phase, decision.reason) == ("Failed", "CandidateDeleted")


def test_a_recipe_is_not_judged_without_one_of_its_seeds() -> None:
    maker = fine_tune_job("recipe", training={"seeds": [1, 2]})
    first = made_by(failed("first"), maker)
    second, model = trained("second")
    decision = decide(of_both(), first, made_by(second, maker), model)
    assert (decision.phase, decision.reason) == ("Failed", "CandidateFailed")


def test_prepare_asks_for_the_baseline_once_and_for_each_candidate() -> None:
    (made,) = decide(of_both(), *both_trained()).created
    order = order_of(made)
    assert isinstance(order, PrepareEvaluationOrder)
    assert [item.name for item in order.models] == ["base", "first", "second"]


def test_each_is_evaluated_once_and_the_baseline_too() -> None:
    models = both_trained()
    there = told(of_both(), *models)
    decision = decide(there, *models, *prepared(there))
    assert [body["spec"]["digest"] for body in decision.made(Kind.EVALUATION)] == [DIGEST, OTHER_DIGEST, THIRD_DIGEST]
    assert len({item.evaluation for item in decision.status.candidates}) == 2


def test_candidates_of_the_same_content_share_an_evaluation() -> None:
    models = both_trained()
    there = told(of_both(), *models)
    decision = decide(there, *models, *prepared(there, DIGEST, OTHER_DIGEST, OTHER_DIGEST))
    assert len(decision.made(Kind.EVALUATION)) == 2
    assert len({item.evaluation for item in decision.status.candidates}) == 1


def test_each_candidate_gets_a_compare_job_that_knows_its_rivals() -> None:
    decision = decide(*comparing())
    orders = [order_of(body) for body in decision.created]
    assert decision.jobs == [("compare", 1), ("compare", 1)]
    assert len({body["metadata"]["name"] for body in decision.created}) == 2
    assert [body["metadata"]["labels"][Label.PART.value] for body in decision.created] == list(map(part_name, NAMES))
    assert all(isinstance(order, CompareOrder) for order in orders)
    seen = [(order.candidate.name, [each.name for each in order.rivals]) for order in orders]  # type: ignore[union-attr]
    assert seen == [("first", ["second"]), ("second", ["first"])]
    assert len({order.directory for order in orders}) == 2


def test_what_is_compared_is_told_while_the_others_are_at_work() -> None:
    there, *others = comparing()
    second = compare_job(there, "second")
    decision = decide(there, *others, *done_for(there, "first", 2), second, running(second))
    assert (decision.phase, decision.created) == ("Comparing", [])
    assert "1 of 2" in decision.message
    first, waiting = decision.status.candidates
    assert (first.verdict, waiting.verdict, decision.status.summary) == ("Improved", None, None)


def test_the_best_is_named_and_each_has_its_report() -> None:
    there, *others = comparing()
    decision = decide(there, *others, *done_for(there, "first", 2, passed=False), *done_for(there, "second", 1))
    assert (decision.phase, decision.reason) == ("Succeeded", "Compared")
    assert decision.message.startswith("Best of 2: second.")
    reports = [item.report.path for item in decision.status.candidates]
    assert [path.rsplit("/", 3)[1] for path in reports] == list(NAMES)
    assert decision.status.report.path == reports[1]
    assert decision.status.earlier_looks == 0


def test_a_rival_whose_long_name_was_cut_is_told_by_its_whole_name() -> None:
    long = "second-" + "x" * 35
    there = comparison(candidates=[{"fineTuneJob": name} for name in ("first", long)])
    models = (*trained("first"), *trained(long))
    there = told(there, *models)
    prepare = job_of(there, Step.PREPARE, ended="Complete")
    digests = zip(("base", "first", long), (DIGEST, OTHER_DIGEST, THIRD_DIGEST), strict=True)
    there = told(there, *models, prepare, with_result(prepare, resolved(*digests)))
    jobs = {name: job_of(there, Step.COMPARE, ended="Complete", part=part_name(name)) for name in ("first", long)}
    cut = PairwiseEffect(candidate=cut_name(long), delta="+0.1", lower="0.0", upper="+0.2")
    result = result_for("first", 1)
    first = result.model_copy(update={"candidate": result.candidate.model_copy(update={"versus": (cut,)})})
    told_of = (with_result(jobs["first"], first), with_result(jobs[long], result_for(long, 2)))
    status = decide(there, *models, *jobs.values(), *told_of).status
    assert [each.candidate for each in status.candidates[0].versus] == [long]


def test_the_gates_of_the_best_decide() -> None:
    there, *others = comparing()
    decision = decide(there, *others, *done_for(there, "first", 2), *done_for(there, "second", 1, passed=False))
    assert (decision.phase, decision.reason) == ("Succeeded", "GateFailed")


def test_a_compare_job_that_broke_is_made_again_when_the_others_have_ended() -> None:
    there, *others = comparing()
    first, second = compare_job(there, "first", done="Failed"), compare_job(there, "second")
    broken = (first, ended(first, 1, "a defect"))
    meanwhile = decide(there, *others, *broken, second, running(second))
    assert (meanwhile.phase, meanwhile.status.run.attempt) == ("Comparing", 1)
    after = decide(there, *others, *broken, *done_for(there, "second", 1))
    assert (after.phase, after.status.run.attempt) == ("Comparing", 2)
    again = with_status(there, **after.status.to_manifest())
    again["status"]["run"].pop("notBefore", None)
    made = decide(again, *others, *broken, *done_for(there, "second", 1))
    assert [body["metadata"]["labels"][Label.PART.value] for body in made.created] == [part_name("first")]


def test_results_are_taken_though_everything_else_is_gone() -> None:
    there, *_ = comparing()
    assert decide(there, *done_for(there, "first", 1), *done_for(there, "second", 2)).phase == "Succeeded"


def test_the_price_is_told_only_where_all_of_it_is_known() -> None:
    gpu = {"perGPUHour": "2", "currency": "EUR"}
    both = {**gpu, "perKWh": "0.3"}
    for costs, currency in ((gpu, "EUR"), (both, None)):
        order = order_of(decide(*comparing(costs=costs)).created[0])
        assert isinstance(order, CompareOrder) and order.cost is not None
        assert order.cost.currency == currency
        assert order.cost.evaluation_hours == "0.0342"


def test_the_replicates_of_a_recipe_are_compared_without_another_job_that_failed() -> None:
    maker = fine_tune_job("recipe")
    second, model = trained("second")
    decision = decide(of_both(), failed("first"), made_by(second, maker), model)
    assert [item.left_out is not None for item in decision.status.candidates] == [True, False]
