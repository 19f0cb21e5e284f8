"""What a failed attempt costs: pauses that double, a limit, and failures that are nobody's fault."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.results import Failure

from .building import (
    NOW,
    Raw,
    being_deleted,
    edited,
    ended,
    evaluation,
    fine_tune_job,
    job_of,
    moment,
    newer,
    running,
    with_result,
)
from .child_outcomes import exits
from .deciding import decide, told
from .outcomes import TRAINED, model_of, prepare_done, resolved


def broken(job: Raw, step: Step, attempt: int, code: int = 3) -> tuple[Raw, Raw]:
    failed = job_of(job, step, attempt, ended="Failed")
    return failed, exits(code)(failed)[0]


def lost(job: Raw, step: Step, attempt: int) -> Raw:
    """A Job that completed, and whose pod is gone."""
    return job_of(job, step, attempt, ended="Complete")


def attempts(job: Raw, number: int, code: int = 3) -> tuple[Raw, ...]:
    return tuple(body for attempt in range(1, number + 1) for body in broken(job, Step.PREPARE, attempt, code))


def after_failures(job: Raw, number: int) -> Raw:
    """The job as it is told after so many failed attempts, each at the moment when its pause was over."""
    there = told(job)
    for attempt in range(1, number + 1):
        there = told(there, *attempts(job, attempt))
    return there


def failing(job: Raw, attempt: int, energy: str | None) -> tuple[Raw, ...]:
    """A training that failed, and told what it had drawn by then."""
    failure = Failure(reason=Reason.NON_FINITE_LOSS, message="It diverged.", energy_kwh=energy)
    train = job_of(job, Step.TRAIN, attempt, ended="Failed")
    return train, ended(train, 6, failure.model_dump_json(by_alias=True))


def test_a_training_that_failed_tells_what_it_drew() -> None:
    job = told(fine_tune_job())
    children = (*prepare_done(job), *failing(job, 1, "1.500000"))
    failed = told(told(job, *prepare_done(job)), *children)
    assert (failed["status"]["phase"], failed["status"]["failedAttemptsEnergyKWh"]) == ("Failed", "1.500000")


@pytest.mark.parametrize(("later", "told_in_all"), [("2.250000", "2.250000"), (None, "1.500000")])
def test_each_attempt_tells_what_all_have_drawn(later: str | None, told_in_all: str) -> None:
    job = told(fine_tune_job())
    first = (*prepare_done(job), *failing(job, 1, "1.500000"))
    again = edited(told(told(job, *prepare_done(job)), *first), resources={"memory": "64Gi"})
    failed = told(told(again, *first), *first, *failing(job, 2, later))
    assert (failed["status"]["phase"], failed["status"]["failedAttemptsEnergyKWh"]) == ("Failed", told_in_all)


def test_a_training_that_is_done_tells_its_energy_itself() -> None:
    job = told(fine_tune_job())
    first = (*prepare_done(job), *failing(job, 1, "1.500000"))
    again = told(edited(told(told(job, *prepare_done(job)), *first), resources={"memory": "64Gi"}), *first)
    train = job_of(job, Step.TRAIN, 2, ended="Complete")
    done = decide(again, *first, train, with_result(train, TRAINED), model_of(again))
    assert (done.phase, done.status.failed_attempts_energy_kwh) == ("Succeeded", None)


@pytest.mark.parametrize(("failures", "pause"), [(1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (12, 3600)])
def test_pauses_double_up_to_an_hour(failures: int, pause: int) -> None:
    job = after_failures(fine_tune_job(retry={"limit": 20}), failures)
    assert job["status"]["failures"] == failures
    assert moment(0.75 * pause) <= job["status"]["run"]["notBefore"] <= moment(pause)


def test_what_waits_longer_than_another_waits_so_whenever_it_is_reconciled() -> None:
    names = ("a", "b", "c", "d")
    pauses = {name: after_failures(fine_tune_job(name), 3)["status"]["run"]["notBefore"] for name in names}
    assert len(set(pauses.values())) > 1
    assert pauses == {name: after_failures(fine_tune_job(name), 3)["status"]["run"]["notBefore"] for name in names}


def test_the_pause_is_waited_for_and_its_cause_stays_told() -> None:
    job = after_failures(fine_tune_job(), 1)
    pausing = decide(job, *attempts(job, 1), now=NOW + timedelta(seconds=10))
    assert pausing.created == []
    until = datetime.fromisoformat(job["status"]["run"]["notBefore"])
    assert pausing.plan.look_again_seconds == (until - NOW).total_seconds() - 10
    assert pausing.status.to_manifest() == job["status"], "why it waits is worth more than how long"
    assert pausing.reason == "StorageFailed"


def test_an_edit_during_a_pause_is_told_once() -> None:
    job = after_failures(fine_tune_job(), 1)
    children = attempts(job, 1)
    changed = told(edited(job, training={"epochs": 9}), *children)
    assert changed["status"]["observedGeneration"] == 2
    again = decide(changed, *children)
    assert again.reason == "SpecChangePending"
    assert again.message.count("The spec was changed") == 1


def test_after_the_pause_the_next_attempt_begins() -> None:
    job = after_failures(fine_tune_job(), 1)
    assert decide(job, *attempts(job, 1), now=NOW + timedelta(seconds=30)).jobs == [("prepare", 2)]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_the_limit_is_the_number_of_failures_that_are_tried_again(limit: int) -> None:
    job = after_failures(fine_tune_job(retry={"limit": limit}), limit)
    decision = decide(job, *attempts(job, limit + 1))
    assert (decision.phase, decision.reason) == ("Failed", "StorageFailed")
    assert job["status"].get("phase") == "Preparing"


def test_a_limit_that_is_raised_acts_at_once() -> None:
    job = after_failures(fine_tune_job(retry={"limit": 1}), 1)
    assert decide(edited(job, retry={"limit": 5}), *attempts(job, 2)).phase == "Preparing"


def test_a_stop_counts_nothing_and_costs_no_pause() -> None:
    job = told(fine_tune_job(retry={"limit": 0}))
    children = broken(job, Step.PREPARE, 1, code=4)
    stopped = told(job, *children)
    assert stopped["status"]["failures"] == 0
    assert decide(stopped, *children).jobs == [("prepare", 2)]


def test_a_failure_of_training_repeats_no_preparation() -> None:
    job = told(fine_tune_job())
    children = (*prepare_done(job), *broken(job, Step.TRAIN, 1))
    waiting = told(told(job, *prepare_done(job)), *children)
    assert decide(waiting, *children, now=NOW + timedelta(minutes=1)).jobs == [("train", 2)]


def test_a_result_that_was_lost_is_looked_for_by_prepare_and_no_gpu_is_asked_for() -> None:
    """prepare's own pod is still there, with what it found before: that is of no use now."""
    job = told(fine_tune_job(retry={"limit": 0}))
    children = (*prepare_done(job), lost(job, Step.TRAIN, 1))
    waiting = told(told(job, *prepare_done(job)), *children)
    assert waiting["status"]["phase"] == "Preparing"
    decision = decide(waiting, *children)
    assert decision.jobs == [("prepare", 2)]
    found = prepare_done(job, 2, trained=TRAINED)
    assert decide(told(waiting, *children), *children, *found, model_of(job)).phase == "Succeeded"


def test_a_result_that_is_not_on_the_volume_either_is_trained_for_again() -> None:
    job = told(fine_tune_job())
    children = (*prepare_done(job), lost(job, Step.TRAIN, 1))
    waiting = told(told(told(job, *prepare_done(job)), *children), *children)
    assert decide(waiting, *children, *prepare_done(job, 2)).jobs == [("train", 2)]


def test_a_result_that_is_lost_again_and_again_is_counted() -> None:
    """A cleaner that removes pods faster than they are read must not keep the cluster busy for ever."""
    job = told(fine_tune_job(retry={"limit": 1}))
    once = told(job, lost(job, Step.PREPARE, 1))
    assert (once["status"]["failures"], once["status"]["run"]["attempt"]) == (0, 2)
    children = (lost(job, Step.PREPARE, 1), lost(job, Step.PREPARE, 2))
    twice = told(once, *children)
    assert (twice["status"]["failures"], twice["status"]["run"]["attempt"]) == (1, 3)
    thrice = decide(twice, *children, lost(job, Step.PREPARE, 3))
    assert (thrice.phase, thrice.reason) == ("Failed", "PodLost")


def test_an_evaluation_whose_result_was_lost_is_looked_for_by_prepare_too() -> None:
    body = told(evaluation())
    prepare = job_of(body, Step.PREPARE, ended="Complete")
    children = (prepare, with_result(prepare, resolved()), lost(body, Step.EVALUATE, 1))
    waiting = told(told(body, *children[:2]), *children)
    assert waiting["status"].get("digest") is None
    assert decide(waiting, *children).jobs == [("prepare", 2)]


def test_a_step_that_still_works_is_never_started_a_second_time() -> None:
    """Whatever the number of the attempt that the status tells of."""
    job = told(fine_tune_job())
    train = job_of(job, Step.TRAIN, 1)
    children = (*prepare_done(job), train, running(train))
    there = told(job, *children)
    there["status"]["run"]["attempt"] = 3
    assert decide(newer(there), *children).created == []


def test_an_attempt_is_never_numbered_below_what_its_children_have_reached() -> None:
    job = told(fine_tune_job())
    children = (*prepare_done(job), *broken(job, Step.TRAIN, 2))
    there = told(job, *children)
    assert there["status"]["run"]["attempt"] == 3


def test_a_pod_that_outlives_its_job_is_waited_for() -> None:
    """Its Job was deleted by hand: two pods would write to the same folder."""
    job = told(fine_tune_job())
    train = job_of(job, Step.TRAIN)
    stray = being_deleted(running(train))
    decision = decide(job, *prepare_done(job), stray)
    assert decision.created == []
    assert stray["metadata"]["name"] in decision.message
    assert decide(job, *prepare_done(job)).jobs == [("train", 1)]


def test_a_pod_of_an_earlier_job_of_the_same_name_is_not_the_new_jobs() -> None:
    job = told(fine_tune_job())
    old, new = job_of(job, Step.TRAIN, ended="Complete"), job_of(job, Step.TRAIN)
    new["metadata"]["uid"] = "made-anew"
    decision = decide(job, *prepare_done(job), new, with_result(old, TRAINED))
    assert (decision.phase, decision.created) == ("Queued", [])
