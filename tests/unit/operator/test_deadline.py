"""spec.deadlineSeconds: told to the trainer, which keeps the time; what its end means is decided here."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.orders import TrainOrder
from finetune_api.results import Failure

from .building import Raw, edited, ended, fine_tune_job, job_of
from .deciding import decide, order_of, told
from .outcomes import prepare_done

HOUR = 3600
WORDS = "the training has run for 1h0m over all its attempts, and reached step 70 of 120"


def deadline_of(manifest: Raw) -> int | None:
    order = order_of(manifest)
    assert isinstance(order, TrainOrder)
    return order.deadline_seconds


def out_of_time(**spec: Any) -> tuple[Raw, ...]:
    """A job whose training has ended at a deadline of an hour, which its status does not tell yet."""
    job = told(fine_tune_job(**spec))
    prepare = prepare_done(job)
    train = job_of(job, Step.TRAIN, ended="Failed")
    failure = Failure(reason=Reason.DEADLINE_EXCEEDED, message=WORDS, deadline_seconds=HOUR)
    return told(job, *prepare), *prepare, train, ended(train, 8, failure.model_dump_json(by_alias=True))


@pytest.mark.parametrize("seconds", [HOUR, None])
def test_the_training_pod_is_told_its_deadline(seconds: int | None) -> None:
    limit = {} if seconds is None else {"deadlineSeconds": seconds}
    job = told(fine_tune_job(**limit))
    (made,) = decide(told(job, *prepare_done(job)), *prepare_done(job)).created
    assert deadline_of(made) == seconds


def test_out_of_time_the_job_fails_and_says_how_far_it_came() -> None:
    decision = decide(*out_of_time(deadlineSeconds=HOUR))
    failed = decision.condition("Failed")
    assert (decision.phase, failed.reason) == ("Failed", "DeadlineExceeded")
    assert WORDS in failed.message
    assert decision.jobs == []


@pytest.mark.parametrize("seconds", [2 * HOUR, None])
def test_a_deadline_that_is_raised_afterwards_lets_the_same_run_go_on(seconds: int | None) -> None:
    job, *children = out_of_time(deadlineSeconds=HOUR)
    failed = told(job, *children)
    raised = edited(failed, deadlineSeconds=seconds)
    decision = decide(raised, *children)
    assert decision.jobs == [("train", 2)]
    assert deadline_of(decision.created[0]) == seconds
    assert decision.status.run.digest == failed["status"]["run"]["digest"], "its checkpoints are this run's"


@pytest.mark.parametrize(("seconds", "since"), [(2 * HOUR, "raised to 7200"), (None, "taken away")])
def test_a_deadline_that_was_raised_while_the_pod_worked_costs_an_attempt_and_no_failure(
    seconds: int | None, since: str
) -> None:
    job, *children = out_of_time(deadlineSeconds=HOUR)
    raised = edited(job, deadlineSeconds=seconds)
    decision = decide(raised, *children)
    assert (decision.phase, decision.status.failures) == ("Queued", 0)
    assert since in decision.message
    assert decide(told(raised, *children), *children).jobs == [("train", 2)], "without a pause"


def test_a_deadline_that_was_lowered_while_the_pod_worked_changes_nothing_of_its_end() -> None:
    job, *children = out_of_time(deadlineSeconds=HOUR)
    assert decide(edited(job, deadlineSeconds=60), *children).phase == "Failed"


def test_a_deadline_names_no_run() -> None:
    limited, free = told(fine_tune_job(deadlineSeconds=HOUR)), told(fine_tune_job())
    assert limited["status"]["run"] == free["status"]["run"]
