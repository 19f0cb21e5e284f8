"""Every step of every kind against everything that can become of its attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest

from finetune_api.conditions import Reason
from finetune_api.group import Step

from . import outcomes
from .building import OTHER_DIGEST, Raw, comparison, evaluation, fine_tune_job, job_of, moment, with_result
from .child_outcomes import OUTCOMES, Course, Outcome
from .deciding import Decision, decide, told


@dataclass(frozen=True)
class Stage:
    """A step that is next, and how the kind calls what becomes of it."""

    step: Step
    scene: Callable[[], tuple[Raw, ...]]
    """The resource, with everything but the step's own children."""
    waits: str
    runs: str
    starting: Reason = Reason.STARTING
    """What it is called while nothing is wrong."""
    works: Reason = Reason.RUNNING
    """What it is called while the pod works."""
    validated: str = "True"
    after_a_lost_result: str = "Preparing"


@cache
def preparing_job() -> tuple[Raw, ...]:
    return (told(fine_tune_job()),)


@cache
def queued_job() -> tuple[Raw, ...]:
    job = fine_tune_job()
    prepare = outcomes.prepare_done(job)
    return (told(told(job), *prepare), *prepare)


@cache
def preparing_evaluation() -> tuple[Raw, ...]:
    return (told(evaluation()),)


@cache
def queued_evaluation() -> tuple[Raw, ...]:
    body = evaluation()
    prepare = job_of(body, Step.PREPARE, ended="Complete")
    children = (prepare, with_result(prepare, outcomes.resolved()))
    return (told(told(body), *children), *children)


@cache
def preparing_comparison() -> tuple[Raw, ...]:
    job, *_, model = outcomes.succeeded(fine_tune_job())
    return (told(comparison(), job, model), job, model)


@cache
def comparing_comparison() -> tuple[Raw, ...]:
    there, *others = preparing_comparison()
    children = outcomes.comparison_prepared(there)
    base, tuned = outcomes.evaluations_of(there, *others, *children)
    done = (outcomes.evaluation_succeeded(base), outcomes.evaluation_succeeded(tuned, OTHER_DIGEST))
    model = others[-1]
    return (told(there, *others, *children, base, tuned), *others, *children, *done) if model else ()


STAGES = {
    "prepare of a FineTuneJob": Stage(
        Step.PREPARE,
        preparing_job,
        "Preparing",
        "Preparing",
        starting=Reason.PREPARING,
        works=Reason.PREPARING,
        validated="Unknown",
    ),
    "train of a FineTuneJob": Stage(Step.TRAIN, queued_job, "Queued", "Training"),
    "prepare of an Evaluation": Stage(
        Step.PREPARE,
        preparing_evaluation,
        "Preparing",
        "Preparing",
        starting=Reason.PREPARING,
        works=Reason.PREPARING,
        validated="Unknown",
    ),
    "evaluate of an Evaluation": Stage(Step.EVALUATE, queued_evaluation, "Queued", "Evaluating"),
    "prepare of a Comparison": Stage(
        Step.PREPARE,
        preparing_comparison,
        "Preparing",
        "Preparing",
        starting=Reason.PREPARING,
        works=Reason.PREPARING,
        validated="Unknown",
    ),
    "compare of a Comparison": Stage(
        Step.COMPARE,
        comparing_comparison,
        "Comparing",
        "Comparing",
        starting=Reason.RUNNING,
        after_a_lost_result="Comparing",
    ),
}


SETTLED = {name: outcome for name, outcome in OUTCOMES.items() if "RETRIES" not in outcome.course.name}
"""Outcomes that last until something happens."""

every_stage = pytest.mark.parametrize("stage", list(STAGES.values()), ids=list(STAGES))
every_outcome = pytest.mark.parametrize("outcome", list(OUTCOMES.values()), ids=list(OUTCOMES))
every_settled_outcome = pytest.mark.parametrize("outcome", list(SETTLED.values()), ids=list(SETTLED))


def decided(stage: Stage, outcome: Outcome) -> Decision:
    about, *others = stage.scene()
    return decide(about, *others, *outcome.children(about, stage.step))


@every_stage
def test_a_step_without_a_job_gets_one(stage: Stage) -> None:
    about, *others = stage.scene()
    decision = decide(about, *others)
    assert decision.jobs == [(stage.step.value, 1)]
    assert decision.phase == stage.waits
    assert decision.reason == stage.starting


@every_outcome
@every_stage
def test_an_outcome_is_told_in_a_phase_and_a_reason(stage: Stage, outcome: Outcome) -> None:
    decision = decided(stage, outcome)
    match outcome.course:
        case Course.WAITS:
            assert decision.phase == stage.waits
            assert decision.reason == (stage.starting if outcome.reason is Reason.STARTING else outcome.reason)
        case Course.RUNS:
            assert (decision.phase, decision.reason) == (stage.runs, stage.works)
        case Course.FAILS:
            assert (decision.phase, decision.reason) == ("Failed", outcome.reason)
        case Course.RETRIES | Course.RETRIES_UNCOUNTED | Course.PAUSES:
            assert decision.phase == (stage.after_a_lost_result if outcome.loses_the_result else stage.waits)
            assert decision.reason == outcome.reason
    assert outcome.says in decision.message


@every_outcome
@every_stage
def test_an_outcome_has_its_consequence(stage: Stage, outcome: Outcome) -> None:
    decision = decided(stage, outcome)
    assert decision.created == [], "one live Job a step, and the next one only after the pause was told"
    run = decision.status.run
    match outcome.course:
        case Course.WAITS | Course.RUNS:
            assert (run.attempt, run.finished_at, decision.status.failures) == (1, None, 0)
        case Course.RETRIES:
            assert (run.attempt, decision.status.failures) == (2, 1)
            assert moment(22) <= run.not_before <= moment(30)
            assert f"Attempt 2 follows at {run.not_before}." in decision.message
        case Course.RETRIES_UNCOUNTED:
            assert (run.attempt, run.not_before, decision.status.failures) == (2, None, 0)
        case Course.PAUSES:
            assert (run.attempt, decision.status.failures) == (2, 0)
            assert moment(22) <= run.not_before <= moment(30)
        case Course.FAILS:
            assert (run.attempt, run.finished_at) == (1, moment())
            assert "kubectl annotate" in decision.message


@every_outcome
@every_stage
def test_conditions_are_what_machines_expect(stage: Stage, outcome: Outcome) -> None:
    decision = decided(stage, outcome)
    holds = decision.holds
    failed = outcome.course is Course.FAILS
    assert "Ready" not in holds, "Flux would wait for it"
    assert ("Stalled" in holds, "Failed" in holds) == (failed, failed)
    assert ("Reconciling" in holds) == (not failed and stage.validated != "True")
    assert holds["Complete"] == "False"
    if not failed:
        assert holds["Validated"] == stage.validated
    assert all(condition.observed_generation == 1 for condition in decision.status.conditions)


@every_stage
def test_a_suspended_job_of_somebody_elses_is_left_alone(stage: Stage) -> None:
    about, *others = stage.scene()
    decision = decide(about, *others, job_of(about, stage.step, suspended=True))
    assert (decision.suspended, decision.created) == ([], [])
    assert decision.phase == stage.waits


@every_settled_outcome
@every_stage
def test_a_plan_that_is_repeated_changes_nothing(stage: Stage, outcome: Outcome) -> None:
    """Once told, and while nothing happens, the same status is worked out again, and nothing else is asked for."""
    about, *others = stage.scene()
    children = outcome.children(about, stage.step)
    once = told(about, *others, *children)
    again = decide(once, *others, *children)
    assert again.events == []
    assert again.tells_nothing or again.status.to_manifest() == once["status"]
