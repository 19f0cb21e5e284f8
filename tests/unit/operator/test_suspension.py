"""spec.suspend: it acts at once, on nothing but the Job's own suspend, and never against Kueue or a person."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from finetune_api.group import Step

from .building import NOW, Raw, edited, evaluation, fine_tune_job, job_of, running, with_result
from .deciding import decide, told
from .outcomes import TRAINED, prepare_done, resolved, training


def running_training() -> tuple[Raw, ...]:
    return training(fine_tune_job())


def running_evaluation() -> tuple[Raw, ...]:
    body = told(evaluation())
    prepare = job_of(body, Step.PREPARE, ended="Complete")
    evaluate = job_of(body, Step.EVALUATE)
    children = (prepare, with_result(prepare, resolved()), evaluate, running(evaluate))
    return (told(told(body, *children[:2]), *children), *children)


SCENES = {"FineTuneJob": running_training, "Evaluation": running_evaluation}
every_kind = pytest.mark.parametrize("scene", list(SCENES.values()), ids=list(SCENES))
Scene = Callable[[], tuple[Raw, ...]]


def held(job: Raw) -> Raw:
    """The Job as the API server has it once it is suspended."""
    return {**job, "spec": {"suspend": True}}


@every_kind
def test_suspending_is_told_before_the_job_is_held(scene: Scene) -> None:
    """The other way round, a kill in between would leave a Job that nobody knows to have been held by us."""
    body, *children = scene()
    decision = decide(edited(body, suspend=True), *children)
    assert decision.kinds_of_actions == ["EmitEvent", "WriteStatus", "SuspendJob"]
    assert decision.suspended == [True]
    assert (decision.phase, decision.reason) == ("Suspended", "Suspended")
    assert "then it ends" in decision.message
    assert decision.holds["Suspended"] == "True"
    assert decision.holds["Validated"] == "True"


@every_kind
def test_a_held_job_stays_held(scene: Scene) -> None:
    body, *others, step, _ = scene()
    suspended = told(edited(body, suspend=True), *others, step)
    decision = decide(suspended, *others, held(step))
    assert decision.suspended == []
    assert "set it to false" in decision.message


@every_kind
def test_resuming_lets_go_of_the_job_that_was_held(scene: Scene) -> None:
    body, *others, step, _ = scene()
    suspended = told(edited(body, suspend=True), *others, held(step))
    decision = decide(edited(suspended, suspend=False), *others, held(step))
    assert decision.suspended == [False]
    assert decision.kinds_of_actions.index("SuspendJob") < decision.kinds_of_actions.index("WriteStatus")
    assert decision.phase == "Suspended", "told as going on only when the Job is let go"
    assert decide(edited(suspended, suspend=False), *others, step).phase == "Queued"


@every_kind
def test_a_job_that_others_hold_is_not_let_go(scene: Scene) -> None:
    body, *others, step, _ = scene()
    decision = decide(body, *others, held(step))
    assert decision.suspended == []
    assert (decision.phase, decision.reason) == ("Queued", "WaitingForQuota")
    assert "not by spec.suspend" in decision.message


@every_kind
def test_suspended_from_the_start_makes_no_job(scene: Scene) -> None:
    body, *_ = scene()
    new = {**body, "status": {"observedGeneration": -1}}
    decision = decide(edited(new, suspend=True))
    assert (decision.created, decision.phase) == ([], "Suspended")
    assert decide(edited(told(edited(new, suspend=True)), suspend=False)).jobs == [("prepare", 1)]


def test_prepare_is_held_too() -> None:
    job = told(fine_tune_job())
    step = job_of(job, Step.PREPARE)
    decision = decide(edited(job, suspend=True), step, running(step))
    assert decision.suspended == [True]
    assert decision.holds["Validated"] == "Unknown"


def test_a_result_that_came_before_the_hold_is_taken() -> None:
    job, *_ = running_training()
    train = job_of(job, Step.TRAIN)
    decision = decide(edited(job, suspend=True), *prepare_done(job), train, with_result(train, TRAINED))
    assert (decision.suspended, len(decision.created)) == ([], 1)


def test_a_failed_attempt_waits_until_the_job_goes_on() -> None:
    job, *others, _, _ = running_training()
    failed = job_of(job, Step.TRAIN, ended="Failed")
    waiting = told(edited(job, suspend=True), *others, failed)
    decision = decide(waiting, *others, failed, now=NOW.replace(hour=14))
    assert (decision.created, decision.phase) == ([], "Suspended")
    assert decide(edited(waiting, suspend=False), *others, failed, now=NOW.replace(hour=14)).jobs == [("train", 2)]
