"""What a candidate took, and its price."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.comparison import Cost
from finetune_api.orders import CompareOrder

from .building import OTHER_DIGEST, Raw, with_status
from .comparisons import evaluating
from .deciding import decide, order_of
from .outcomes import evaluation_succeeded

GPUS = 4
MEASURED = {"hours": "2", "energyKWh": "10"}


def cost_with(training: dict[str, Any], costs: dict[str, str] | None = None, *seconds: str) -> Cost:
    """Of a candidate trained on four GPUs; baseline and candidate were evaluated in so many seconds."""
    there, *others, base, tuned = evaluating(**({} if costs is None else {"costs": costs}))
    done = [evaluation_succeeded(base), evaluation_succeeded(tuned, OTHER_DIGEST)]
    if seconds:
        done = [with_status(each, seconds=took) for each, took in zip(done, seconds, strict=True)]
    order = order_of(decide(there, *(_trained(each, training) for each in others), *done).created[0])
    assert isinstance(order, CompareOrder) and order.cost is not None
    return order.cost


def _trained(resource: Raw, training: dict[str, Any]) -> Raw:
    if resource["kind"] == "FineTuneJob":
        return with_status(resource, training={**resource["status"]["training"], "energyNote": None, **training})
    if resource["kind"] == "FineTunedModel":
        parameters = {**resource["spec"]["parameters"], "gpus": GPUS}
        return {**resource, "spec": {**resource["spec"], "parameters": parameters}}
    return resource


def test_without_prices_there_is_no_price() -> None:
    cost = cost_with(MEASURED)
    assert (cost.training_hours, cost.energy_kwh, cost.money, cost.currency) == ("2", "10", None, None)


def test_an_hour_costs_for_each_gpu() -> None:
    cost = cost_with(MEASURED, {"perGPUHour": "1.5", "currency": "EUR"})
    assert (cost.money, cost.currency) == ("12.00", "EUR")


def test_energy_and_gpu_hours_add_up() -> None:
    assert cost_with(MEASURED, {"perKWh": "0.30", "perGPUHour": "1.5", "currency": "EUR"}).money == "15.00"


def test_energy_of_failed_attempts_is_apart_and_was_paid_for_all_the_same() -> None:
    cost = cost_with({**MEASURED, "failedAttemptsEnergyKWh": "5"}, {"perKWh": "0.30", "currency": "EUR"})
    assert (cost.energy_kwh, cost.failed_attempts_energy_kwh) == ("10", "5")
    assert cost.money == "4.50"


@pytest.mark.parametrize("costs", [{"perKWh": "0.3"}, {"perKWh": "0.3", "perGPUHour": "1.5"}])
def test_energy_that_was_not_measured_has_no_price_and_leaves_none_for_the_whole(costs: dict[str, str]) -> None:
    unmeasured = {"hours": "2", "energyNote": "not measured: no GPU"}
    cost = cost_with(unmeasured, {**costs, "currency": "EUR"})
    assert (cost.money, cost.currency, cost.energy_note) == (None, None, "not measured: no GPU")


def test_gpu_hours_have_a_price_without_energy() -> None:
    unmeasured = {"hours": "2", "energyNote": "not measured: no GPU"}
    assert cost_with(unmeasured, {"perGPUHour": "1.5", "currency": "EUR"}).money == "12.00"


def test_evaluations_are_apart_and_count_baseline_and_candidate() -> None:
    cost = cost_with(MEASURED, None, "1800", "5400")
    assert (cost.evaluation_hours, cost.training_hours) == ("2.0000", "2")
