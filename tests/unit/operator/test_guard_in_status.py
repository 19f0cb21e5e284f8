"""What the guard does while a model is trained shows in the status, and costs no write of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from finetune_api.conditions import Reason
from finetune_api.events import ProgressEvent
from finetune_api.group import Step
from finetune_api.guard import GuardState

from .building import NOW, Raw, fine_tune_job, job_of, moment
from .child_outcomes import exits
from .deciding import Decision, decide, told
from .outcomes import prepare_done, training

GUARD = {"maxPowerWatts": 300, "maxTemperatureCelsius": 83}


def said(step: int = 10, **words: Any) -> ProgressEvent:
    return ProgressEvent(time=moment(), step=step, steps=100, **words)


def deciding(*events: ProgressEvent, guard: Raw | None = GUARD) -> Decision:
    """What is told of a training whose pod says this, after it has said the rest."""
    spec = {"guard": guard} if guard is not None else {}
    there, *children = training(fine_tune_job(**spec))
    *earlier, last = events
    for event in earlier:
        there = told(there, *children, said=(children[-1], event))
    return decide(there, *children, said=(children[-1], last))


THROTTLED = said(
    guard=GuardState.THROTTLED, throttled_seconds=754.2, gpu_watts=298.4, gpu_celsius=82.0, gpu_utilization=0.8
)


def test_a_training_that_is_slowed_down_says_by_which_limit_and_for_how_long() -> None:
    decision = deciding(THROTTLED)
    assert (decision.phase, decision.reason) == ("Training", Reason.THROTTLED)
    for words in ("spec.guard.maxPowerWatts (300 W)", "spec.guard.maxTemperatureCelsius (83 °C)", "12m34s", "82 °C"):
        assert words in decision.message
    scheduled = decision.condition("Scheduled")
    assert (scheduled.status, scheduled.reason) == ("True", Reason.THROTTLED)
    assert decision.status.progress.throttled_seconds == 754


def test_a_limit_that_rests_do_not_keep_is_called_overheated() -> None:
    decision = deciding(said(guard=GuardState.OVERHEATED, throttled_seconds=30.0))
    assert decision.reason == Reason.OVERHEATED
    assert "checkpoint" in decision.message
    assert "30s" in decision.message


def test_only_limits_that_are_set_are_named() -> None:
    decision = deciding(THROTTLED, guard={"maxTemperatureCelsius": 83})
    assert "maxTemperatureCelsius" in decision.message
    assert "maxPowerWatts" not in decision.message


@pytest.mark.parametrize("seconds", [None, 0.0, float("nan"), float("inf")])
def test_time_that_is_not_known_is_not_told(seconds: float | None) -> None:
    decision = deciding(said(guard=GuardState.THROTTLED, throttled_seconds=seconds))
    assert decision.status.progress.throttled_seconds is None
    assert "so far" not in decision.message


def test_it_runs_again_once_the_limits_are_kept_and_what_it_cost_stays_told() -> None:
    decision = deciding(THROTTLED, said(step=20, throttled_seconds=760.0))
    assert (decision.phase, decision.reason) == ("Training", Reason.RUNNING)
    assert decision.condition("Scheduled").reason == Reason.RUNNING
    assert decision.status.progress.throttled_seconds == 760


def test_the_same_words_again_are_no_write() -> None:
    there, *children = training(fine_tune_job(guard=GUARD))
    there = told(there, *children, said=(children[-1], THROTTLED))
    later = decide(there, *children, said=(children[-1], THROTTLED), now=NOW + timedelta(minutes=5))
    assert later.status.to_manifest() == there["status"]
    assert later.events == []


def test_a_guard_that_was_taken_out_of_the_spec_is_not_spoken_of() -> None:
    assert deciding(THROTTLED, guard=None).reason == Reason.RUNNING


def test_what_grew_too_hot_goes_on_after_a_pause_that_is_no_failure() -> None:
    there, *prepare, _, _ = training(fine_tune_job(guard=GUARD, retry={"limit": 0, "backoffSeconds": 300}))
    failed = job_of(there, Step.TRAIN, ended="Failed")
    first = decide(there, *prepare, failed, *exits(7, Reason.OVERHEATED)(failed))
    assert (first.phase, first.reason, first.status.failures) == ("Queued", Reason.OVERHEATED, 0)
    run = first.status.run
    assert run.attempt == 2
    assert moment(225) <= run.not_before <= moment(300)
    assert f"Attempt 2 follows at {run.not_before}." in first.message
    assert first.created == []


def test_what_ran_out_of_gpu_memory_goes_on_with_the_same_plan() -> None:
    """At once, and however often: the trainer's forms come to an end. It keeps the smaller portions on the volume; the
    plan in the status stays what prepare made."""
    job = fine_tune_job(retry={"limit": 0})
    there, *prepare, _, _ = training(job)
    failed = job_of(there, Step.TRAIN, ended="Failed")
    broken = exits(5, Reason.OUT_OF_MEMORY)(failed)
    waiting = told(there, *prepare, failed, *broken)
    assert waiting["status"]["plan"] == there["status"]["plan"]
    again = decide(waiting, *prepare_done(job), failed, *broken, now=NOW)
    assert again.jobs == [("train", 2)]
