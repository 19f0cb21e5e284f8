"""What is counted of the way that resources take."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from finetune_api.group import Kind
from finetune_operator.cache import Cache
from finetune_operator.metrics.chronicle import Chronicle
from finetune_operator.projections import resource_view

from .building import (
    NOW,
    Raw,
    comparison,
    evaluation,
    fine_tune_job,
    key_of,
    moment,
    newer,
    run_of,
    uid_of,
    with_status,
)
from .simulation.stories import business
from .simulation.weather import Weather
from .simulation.world import story

Series = tuple[str, ...]
"""Name and values of the labels, in the labels' order."""


def samples() -> dict[Series, float]:
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name.startswith("finetune_")
    }


class Counting:
    """What was counted since, without what stayed as it was."""

    def __init__(self) -> None:
        self._before = samples()

    def of(self, name: str) -> dict[Series, float]:
        grown = {series: value - self._before.get(series, 0.0) for series, value in samples().items()}
        return {series[1:]: value for series, value in grown.items() if series[0] == name and value}


class Life:
    """A resource that is told of, again and again, at times of its own."""

    def __init__(self, body: Raw) -> None:
        self.now = NOW
        self.body = body
        self.cache = Cache(Chronicle(lambda: self.now))
        self.tell(body)

    def tell(self, body: Raw) -> None:
        self.body = body
        self.cache.put_resource(resource_view(Kind(body["kind"]), body))

    def goes_on(
        self, phase: str, reason: str = "Running", after: float = 0, *, attempt: int = 1, failures: int = 0, **more: Any
    ) -> None:
        self.now += timedelta(seconds=after)
        aspect = {"Evaluation": "Evaluated"}.get(self.body["kind"], "Trained")
        conditions = [self._condition(aspect, reason), self._condition("Complete", reason)]
        run = {"digest": run_of(self.body), "startedAt": moment(), "attempt": attempt}
        told = {"phase": phase, "conditions": conditions, "run": run, "failures": failures}
        self.tell(with_status(self.body, **{**told, **more}))

    def _condition(self, type_: str, reason: str) -> Raw:
        return condition(type_, "False", (self.now - NOW).total_seconds(), reason)


def condition(type_: str, status: str, seconds: float, reason: str = "Running") -> Raw:
    times = {"observedGeneration": 1, "lastTransitionTime": moment(seconds)}
    return {"type": type_, "status": status, **times, "reason": reason, "message": ""}


def test_each_phase_is_timed_when_it_is_left() -> None:
    counting, life = Counting(), Life(fine_tune_job())
    life.goes_on("Preparing")
    life.goes_on("Queued", after=40)
    life.goes_on("Training", after=700)
    life.goes_on("Succeeded", after=5000)
    assert counting.of("finetune_phase_duration_seconds_sum") == {
        ("FineTuneJob", "Preparing"): 40,
        ("FineTuneJob", "Queued"): 700,
        ("FineTuneJob", "Training"): 5000,
    }
    assert counting.of("finetune_runs_finished_total") == {("FineTuneJob", "Succeeded"): 1}


def test_an_end_lasts_for_ever() -> None:
    counting, life = Counting(), Life(fine_tune_job())
    life.goes_on("Failed", "DatasetInvalid")
    life.goes_on("Preparing", after=86400)
    assert counting.of("finetune_phase_duration_seconds_sum") == {}


def test_a_phase_that_is_told_twice_is_timed_as_one() -> None:
    counting, life = Counting(), Life(fine_tune_job())
    life.goes_on("Training")
    life.goes_on("Training", after=30)
    life.goes_on("Succeeded", after=30)
    assert counting.of("finetune_phase_duration_seconds_sum") == {("FineTuneJob", "Training"): 60}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (fine_tune_job(), {("FineTuneJob", "scheduler"): 100}),
        (fine_tune_job(queueName="research"), {("FineTuneJob", "kueue"): 100}),
        (evaluation(), {("Evaluation", "scheduler"): 100}),
        (fine_tune_job(resources={"gpus": 0}), {}),
    ],
)
def test_the_wait_of_what_asks_for_gpus_is_timed(body: Raw, told: dict[Series, float]) -> None:
    counting, life = Counting(), Life(body)
    life.goes_on("Queued", "WaitingForGPU")
    life.goes_on("Training" if body["kind"] == "FineTuneJob" else "Evaluating", after=100)
    assert counting.of("finetune_queue_wait_seconds_sum") == told


def test_a_wait_that_leads_nowhere_is_no_queue_wait() -> None:
    counting, life = Counting(), Life(fine_tune_job())
    life.goes_on("Queued", "WaitingForGPU")
    life.goes_on("Suspended", "Suspended", after=100)
    assert counting.of("finetune_queue_wait_seconds_count") == {}


def test_after_a_restart_the_conditions_tell_when_the_phase_began() -> None:
    scheduled = condition("Scheduled", "True", -3000)
    life = Life(with_status(fine_tune_job(), phase="Training", conditions=[scheduled]))
    counting = Counting()
    life.goes_on("Succeeded", after=600)
    assert counting.of("finetune_phase_duration_seconds_sum") == {("FineTuneJob", "Training"): 3600}


def test_after_a_restart_a_phase_that_no_condition_tells_of_is_not_timed() -> None:
    life = Life(with_status(comparison(), phase="Pending", conditions=[condition("Validated", "Unknown", -3000)]))
    counting = Counting()
    life.goes_on("Preparing", after=600)
    assert counting.of("finetune_phase_duration_seconds_sum") == {}


@pytest.mark.parametrize("words", ["", "yesterday", "2026-01-02T11:00:00", "2026-13-01T11:00:00Z"])
def test_a_time_that_somebody_wrote_by_hand_does_no_harm(words: str) -> None:
    scheduled = {**condition("Scheduled", "True", 0), "lastTransitionTime": words}
    life = Life(with_status(fine_tune_job(), phase="Training", conditions=[scheduled]))
    counting = Counting()
    life.goes_on("Succeeded", after=600)
    assert counting.of("finetune_phase_duration_seconds_sum") == {}
    assert counting.of("finetune_runs_finished_total") == {("FineTuneJob", "Succeeded"): 1}


def test_retries_are_counted_by_cause() -> None:
    counting, life = Counting(), Life(fine_tune_job())
    life.goes_on("Training")
    life.goes_on("Queued", "StorageFailed", attempt=2, failures=1)
    life.goes_on("Training", attempt=2, failures=1)
    life.goes_on("Queued", "OutOfMemory", attempt=3, failures=1)
    assert counting.of("finetune_retries_total") == {
        ("StorageFailed", "true", "FineTuneJob"): 1,
        ("OutOfMemory", "false", "FineTuneJob"): 1,
    }
    assert counting.of("finetune_interruptions_total") == {}


def test_the_cause_of_a_retry_is_told_though_an_edit_waits() -> None:
    counting, life = Counting(), Life(fine_tune_job())
    life.goes_on("Training")
    life.goes_on(
        "Queued",
        attempt=2,
        conditions=[
            condition("Trained", "False", 0, "NodeLost"),
            condition("Complete", "False", 0, "SpecChangePending"),
        ],
    )
    assert counting.of("finetune_retries_total") == {("NodeLost", "false", "FineTuneJob"): 1}


@pytest.mark.parametrize("reason", ["Starting", "WaitingForGPU", "Preparing"])
def test_a_job_that_an_edit_replaces_is_no_retry(reason: str) -> None:
    counting, life = Counting(), Life(fine_tune_job())
    life.goes_on("Queued", "WaitingForGPU")
    life.goes_on("Queued", reason, attempt=2)
    assert counting.of("finetune_retries_total") == {}


def test_a_run_that_is_asked_for_again_is_no_retry() -> None:
    counting, life = Counting(), Life(fine_tune_job())
    life.goes_on("Failed", "StorageFailed", attempt=3)
    run = {"digest": run_of(life.body), "startedAt": moment(60), "attempt": 4}
    life.goes_on("Preparing", "StorageFailed", run=run)
    assert counting.of("finetune_retries_total") == {}


def test_work_that_is_preempted_is_an_interruption() -> None:
    counting, life = Counting(), Life(fine_tune_job())
    life.goes_on("Training")
    life.goes_on("Queued", "Preempted")
    life.goes_on("Queued", "WaitingForGPU")
    assert counting.of("finetune_interruptions_total") == {("FineTuneJob", "Preempted"): 1}


def test_a_namesake_goes_on_with_nothing() -> None:
    counting, life = Counting(), Life(fine_tune_job())
    life.goes_on("Training")
    another = newer(life.body)
    another["metadata"]["uid"] = "another"
    life.now += timedelta(hours=1)
    life.tell({**another, "status": {**another["status"], "phase": "Succeeded"}})
    assert counting.of("finetune_phase_duration_seconds_count") == {}
    assert counting.of("finetune_runs_finished_total") == {}


@pytest.mark.parametrize("how", ["ended", "deleted", "replaced by a namesake"])
def test_nothing_is_remembered_of_what_is_over(how: str) -> None:
    chronicle = Chronicle(lambda: NOW)
    cache, body = Cache(chronicle), fine_tune_job()
    for told in (body, with_status(body, phase="Training")):
        cache.put_resource(resource_view(Kind.FINE_TUNE_JOB, told))
    assert chronicle.remembered == 1
    another = newer(fine_tune_job(metadata={"uid": "another"}))
    match how:
        case "ended":
            cache.put_resource(resource_view(Kind.FINE_TUNE_JOB, with_status(body, phase="Succeeded")))
        case "deleted":
            cache.drop_resource(key_of(body), uid_of(body))
        case _:
            cache.put_resource(resource_view(Kind.FINE_TUNE_JOB, another))
    assert chronicle.remembered == 0


def test_a_whole_run_of_everything_is_told_as_it_was() -> None:
    counting = Counting()
    story(business)
    assert counting.of("finetune_runs_finished_total") == {
        ("FineTuneJob", "Succeeded"): 2,
        ("FineTuneJob", "Failed"): 1,
        ("Evaluation", "Succeeded"): 3,
        ("Comparison", "Succeeded"): 2,
        ("Comparison", "Failed"): 1,
    }
    assert counting.of("finetune_retries_total") == {("StorageFailed", "true", "FineTuneJob"): 1}
    assert counting.of("finetune_verdicts_total") == {("candidate", "Improved"): 2}
    timed = counting.of("finetune_phase_duration_seconds_count")
    assert timed["FineTuneJob", "Preparing"] == 3
    assert timed["FineTuneJob", "Training"] == 3
    assert timed["Evaluation", "Evaluating"] == 3
    assert timed["Comparison", "Comparing"] == 2
    waits = counting.of("finetune_queue_wait_seconds_count")
    assert waits["FineTuneJob", "scheduler"] == 3
    assert counting.of("finetune_operator_reconcile_failures_total") == {}


FIRE = Weather(failing=0.1, repeated=0.1)


def test_failing_requests_and_doubled_events_count_nothing_twice() -> None:
    calm = Counting()
    story(business)
    ended, verdicts = calm.of("finetune_runs_finished_total"), calm.of("finetune_verdicts_total")
    fire = Counting()
    story(business, seed=7, weather=FIRE)
    assert fire.of("finetune_runs_finished_total") == ended
    assert fire.of("finetune_verdicts_total") == verdicts
    assert fire.of("finetune_operator_reconcile_failures_total") != {}
