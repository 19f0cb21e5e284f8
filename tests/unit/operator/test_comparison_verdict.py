"""How a Comparison pairs the answers and says its verdict, and what can no longer disturb it then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from finetune_api.conditions import Reason
from finetune_api.group import Kind, Step
from finetune_api.orders import CompareOrder
from finetune_api.results import CompareResult
from finetune_api.verdicts import Verdict, VerdictReason
from finetune_operator.plan.actions import KeepReport
from finetune_operator.plan.verdict import sentence
from finetune_operator.views import Obstacle

from .building import (
    DIGEST,
    NOW,
    OTHER_DIGEST,
    Raw,
    being_deleted,
    comparison,
    fine_tune_job,
    job_of,
    made_by,
    newer,
    owned_by,
    run_of,
    uid_of,
    with_result,
    with_status,
)
from .comparisons import TUNED, comparing, evaluating, finished, preparing, trained_job
from .deciding import decide, order_of, told
from .outcomes import (
    SUITE_DIGEST,
    as_served,
    compared,
    comparison_prepared,
    evaluation_succeeded,
    guardrail,
    model_of,
    training,
)


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


def test_the_report_is_told_where_the_training_left_its_curves() -> None:
    there, *others, base, tuned = evaluating()
    done = (evaluation_succeeded(base), evaluation_succeeded(tuned, OTHER_DIGEST))
    order = order_of(decide(there, *others, *done).created[0])
    assert isinstance(order, CompareOrder) and order.training is not None
    (model,) = (each for each in others if each["kind"] == "FineTunedModel")
    adapter = model["spec"]["adapter"]["persistentVolumeClaim"]
    assert f"{order.training.path}/train/adapter" == adapter["path"]
    assert order.training.volume.endswith(f"/{adapter['claimName']}")


def finished_on(suite: str, name: str, phase: str = "Succeeded", **metadata: str) -> Raw:
    """Another Comparison that asked this suite."""
    return with_status(comparison(name, metadata=metadata), phase=phase, suiteDigest=suite)


def looks_told(*comparisons: Raw) -> int | None:
    """What the report will say of earlier looks at the suite."""
    there, *others, base, tuned = evaluating()
    done = (evaluation_succeeded(base), evaluation_succeeded(tuned, OTHER_DIGEST))
    order = order_of(decide(there, *others, *done, *comparisons).created[0])
    assert isinstance(order, CompareOrder)
    return order.earlier_looks


def test_the_report_is_told_how_many_have_looked_at_these_questions() -> None:
    assert looks_told() == 0
    others = (
        finished_on(OTHER_DIGEST, "of-other-questions"),
        finished_on(SUITE_DIGEST, "not-yet-at-its-end", "Comparing"),
        finished_on(SUITE_DIGEST, "elsewhere", namespace="another"),
    )
    assert looks_told(*others, finished_on(SUITE_DIGEST, "one"), finished_on(SUITE_DIGEST, "two")) == 2


def test_looks_that_cannot_be_counted_are_not_said_to_be_none() -> None:
    there, *others, base, tuned = evaluating()
    del there["status"]["suiteDigest"]
    done = (evaluation_succeeded(base), evaluation_succeeded(tuned, OTHER_DIGEST))
    order = order_of(decide(there, *others, *done).created[0])
    assert isinstance(order, CompareOrder) and order.earlier_looks is None


def test_an_evaluation_is_shared_before_the_answers_are_paired() -> None:
    """Afterwards nobody looks at it again, and it would go with the other Comparison."""
    there, *others, base, tuned = evaluating()
    shared = made_by(evaluation_succeeded(owned_by(base, comparison("another"))), comparison("another"))
    decision = decide(there, *others, shared, evaluation_succeeded(tuned, OTHER_DIGEST))
    assert decision.kinds_of_actions.index("ShareEvaluation") < decision.kinds_of_actions.index("WriteStatus")
    assert decision.jobs == [("compare", 1)]


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


def test_a_gain_that_one_task_pays_for_is_told_with_the_task() -> None:
    """Else the sentence has an interval above zero and calls it Inconclusive."""
    candidate = compared(reason=VerdictReason.TASK_REGRESSED, verdict=Verdict.INCONCLUSIVE).candidate
    assert candidate is not None
    worse = candidate.tasks[0].model_copy(update={"verdict": Verdict.REGRESSED})
    told_as = sentence(candidate.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "tasks": (worse,)}))
    assert told_as == (
        "tuned against its baseline: Inconclusive (0.40 to 0.60, 95% interval 0.15 to 0.25), better overall, but worse "
        "at EPS extraction."
    )


def told_report() -> tuple[Raw, ...]:
    """The compare pod is done, and its log tells a report."""
    there, *others, _, _ = comparing()
    compare = job_of(there, Step.COMPARE, ended="Complete")
    result = compared().model_copy(update={"report_digest": DIGEST})
    return there, *others, compare, with_result(compare, result)


def test_the_report_is_kept_before_the_status_names_it() -> None:
    there, *others = told_report()
    decision = decide(there, *others)
    kinds = decision.kinds_of_actions
    assert kinds.index("KeepReport") < kinds.index("WriteStatus")
    kept = next(action for action in decision.plan.actions if isinstance(action, KeepReport))
    assert (kept.pod, kept.digest) == (others[-1]["metadata"]["name"], DIGEST)
    metadata = kept.manifest["metadata"]
    assert told(there, *others)["status"]["reportConfigMap"] == metadata["name"]
    assert [owner["uid"] for owner in metadata["ownerReferences"]] == [uid_of(there)]


def test_the_report_is_kept_when_the_pods_phase_is_late() -> None:
    """A container that has ended is seen before the pod's phase says so, and the verdict is told at once."""
    there, *others = told_report()
    others[-1]["status"]["phase"] = "Running"
    assert "KeepReport" in decide(there, *others).kinds_of_actions


def test_a_report_that_cannot_be_kept_is_not_named_and_the_verdict_stands() -> None:
    there, *others = told_report()
    name = told(there, *others)["status"]["reportConfigMap"]
    decision = decide(there, *others, obstacles={("ConfigMap", name): Obstacle(Reason.NAME_CONFLICT, "taken", NOW, 30)})
    assert decision.phase == "Succeeded" and "KeepReport" not in decision.kinds_of_actions
    assert "KeepReport" not in decide(*finished()).kinds_of_actions


def test_a_gate_that_is_not_passed_is_a_result_and_not_a_failure() -> None:
    there, *others, _, _ = comparing()
    compare = job_of(there, Step.COMPARE, ended="Complete")
    decision = decide(there, *others, compare, with_result(compare, compared(passed=False)))
    assert (decision.phase, decision.reason) == ("Succeeded", "GateFailed")
    assert "Gates not passed: minImprovementPercent." in decision.message


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "much"])
@pytest.mark.parametrize(
    "compared_with",
    [
        lambda number: compared(delta=number),
        lambda number: compared(delta_percent=number),
        lambda number: compared(bound=number),
        lambda number: compared(limit=number),
        *(
            lambda number, name=name: compared(perplexity=guardrail(**{name: number}))
            for name in ("base", "tuned", "delta", "lower", "upper")
        ),
    ],
)
def test_a_verdict_whose_numbers_are_none_is_never_told(
    compared_with: Callable[[str], CompareResult], number: str
) -> None:
    there, *others, _, _ = comparing()
    compare = job_of(there, Step.COMPARE, ended="Complete")
    decision = decide(there, *others, compare, with_result(compare, compared_with(number)))
    assert (decision.phase, decision.reason) == ("Comparing", "InternalError")
    assert decision.status.summary is None


def test_a_guardrail_and_a_gate_without_a_bound_are_told_without_it() -> None:
    there, *others, _, _ = comparing()
    compare = job_of(there, Step.COMPARE, ended="Complete")
    unbounded = compared(perplexity=guardrail(lower=None, upper=None), bound=None, passed=False)
    decision = decide(there, *others, compare, with_result(compare, unbounded))
    assert decision.phase == "Succeeded"
    (candidate,) = decision.status.candidates
    assert candidate.perplexity is not None and candidate.perplexity.upper is None
    assert candidate.gates[0].bound is None


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
