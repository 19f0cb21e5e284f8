"""A Comparison with several candidates: all are waited for, each is evaluated and compared once, the best is named."""

from __future__ import annotations

import pytest

from finetune_api.comparison import PairwiseEffect, Ranking
from finetune_api.group import Kind, Label, Step
from finetune_api.orders import CompareOrder, PrepareEvaluationOrder
from finetune_api.results import CompareResult, cut_name
from finetune_operator.digests import part_name

from .building import (
    DIGEST,
    OTHER_DIGEST,
    Raw,
    comparison,
    ended,
    fine_tune_job,
    job_of,
    running,
    with_result,
    with_status,
)
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


@pytest.mark.parametrize("failing", NAMES)
def test_a_candidate_that_failed_ends_the_comparison_by_its_name(failing: str) -> None:
    jobs = [with_status(fine_tune_job(name), phase="Failed" if name == failing else "Training") for name in NAMES]
    decision = decide(of_both(), *jobs)
    assert (decision.phase, decision.reason) == ("Failed", "CandidateFailed")
    assert f"FineTuneJob {failing} failed" in decision.message


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
