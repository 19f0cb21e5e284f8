"""Worked examples for the baseline: passed on to its Evaluation and its pod, and to no other."""

from __future__ import annotations

from finetune_api.group import Kind
from finetune_api.orders import PrepareEvaluationOrder

from .building import comparison
from .comparisons import trained_job
from .deciding import decide, order_of, told
from .outcomes import comparison_prepared


def test_only_the_baseline_is_shown_worked_examples() -> None:
    job, model = trained_job()
    there = told(comparison(baseline={"shots": 3}), job, model)
    (prepare,) = decide(there, job, model).created
    order = order_of(prepare)
    assert isinstance(order, PrepareEvaluationOrder)
    assert [each.shots for each in order.models] == [3, 0]
    evaluations = decide(there, job, model, *comparison_prepared(there)).made(Kind.EVALUATION)
    assert [each["spec"]["model"].get("shots", 0) for each in evaluations] == [3, 0]
