"""A status that is lost, at any point, costs no training."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from finetune_api.conditions import Reason
from finetune_api.group import Kind, Step

from .building import NOW, Raw, evaluation, fine_tune_job, job_of, newer, running, uid_of, with_result, with_status
from .child_outcomes import exits
from .deciding import decide, told
from .outcomes import TRAINED, evaluated, model_of, prepare_done, queued, resolved, succeeded, train_done, training


def wiped(body: Raw) -> Raw:
    """`kubectl patch --subresource=status` with nothing: the schema's default comes back."""
    changed = newer(body)
    changed["status"] = {"observedGeneration": -1, "conditions": [], "failures": 0, "history": []}
    return changed


def preparing() -> tuple[Raw, ...]:
    job = told(fine_tune_job())
    step = job_of(job, Step.PREPARE)
    return job, step, running(step)


def prepared() -> tuple[Raw, ...]:
    job = told(fine_tune_job())
    return job, *prepare_done(job)


def trained() -> tuple[Raw, ...]:
    job, *_ = training(fine_tune_job())
    return job, *prepare_done(job), *train_done(job)


MOMENTS: dict[str, Callable[[], tuple[Raw, ...]]] = {
    "preparing": preparing,
    "prepared": prepared,
    "queued": lambda: queued(fine_tune_job()),
    "training": lambda: training(fine_tune_job()),
    "trained": trained,
    "registered": lambda: succeeded(fine_tune_job()),
}


REMEMBERED = {name: scene for name, scene in MOMENTS.items() if name != "prepared"}
"""Moments whose children tell all. prepare alone does not: what it found may be from before the training."""


@pytest.mark.parametrize("scene", list(REMEMBERED.values()), ids=list(REMEMBERED))
def test_a_lost_status_is_worked_out_again_from_what_is_there(scene: Callable[[], tuple[Raw, ...]]) -> None:
    job, *others = scene()
    before, after = decide(job, *others), decide(wiped(job), *others)
    assert [body["metadata"]["name"] for body in after.created] == [body["metadata"]["name"] for body in before.created]
    if not before.tells_nothing and not after.tells_nothing:
        assert told_without_times(after.status) == told_without_times(before.status)


def test_what_prepare_found_before_the_loss_is_asked_for_again() -> None:
    """The training may have ended, and its Job been deleted, since."""
    job, *children = prepared()
    again = told(wiped(job), *children)
    assert decide(wiped(job), *children).jobs == [("prepare", 2)]
    assert decide(again, *children, *prepare_done(job, 2)).jobs == [("train", 2)]


def told_without_times(status: object) -> object:
    manifest = status.to_manifest()  # type: ignore[attr-defined]
    for condition in manifest["conditions"]:
        del condition["lastTransitionTime"]
    manifest["run"].pop("startedAt")
    return manifest


@pytest.mark.parametrize("scene", list(MOMENTS.values()), ids=list(MOMENTS))
def test_where_the_children_are_lost_too_only_prepare_looks(scene: Callable[[], tuple[Raw, ...]]) -> None:
    job, *_ = scene()
    assert decide(wiped(job)).jobs == [("prepare", 1)]


@pytest.mark.parametrize("scene", list(MOMENTS.values()), ids=list(MOMENTS))
def test_a_training_pod_is_never_asked_for_while_the_result_may_be_on_the_volume(
    scene: Callable[[], tuple[Raw, ...]],
) -> None:
    """Status, prepare and the training's pod are lost; only its Job is there, complete."""
    job, *_ = scene()
    there = wiped(job)
    children = (job_of(job, Step.TRAIN, ended="Complete"),)
    looking = told(there, *children)
    assert decide(looking, *children).jobs == [("prepare", 2)]
    found = prepare_done(job, 2, trained=TRAINED)
    assert decide(told(looking, *children), *children, *found).made(Kind.FINE_TUNED_MODEL)


def test_a_training_that_works_needs_no_preparation() -> None:
    job, *_, train, pod = training(fine_tune_job())
    decision = decide(wiped(job), train, pod)
    assert (decision.phase, decision.created) == ("Training", [])


def test_a_training_that_ended_is_prepared_for_the_registry_but_not_repeated() -> None:
    job, *_ = training(fine_tune_job())
    children = train_done(job)
    preparing_again = decide(wiped(job), *children)
    assert preparing_again.jobs == [("prepare", 1)]
    decision = decide(told(wiped(job), *children), *children, *prepare_done(job))
    assert decision.jobs == []
    assert decision.made(Kind.FINE_TUNED_MODEL)


def test_a_registered_model_is_found_again() -> None:
    job, *_ = succeeded(fine_tune_job())
    found = prepare_done(job, trained=TRAINED)
    decision = decide(told(wiped(job)), *found, model_of(job))
    assert (decision.phase, decision.created) == ("Succeeded", [])


def test_a_failure_is_worked_out_again_too() -> None:
    job = told(fine_tune_job())
    step = job_of(job, Step.PREPARE, ended="Failed")
    children = (step, with_exit(step, 2))
    assert decide(wiped(job), *children).phase == "Failed"


def with_exit(job: Raw, code: int) -> Raw:
    pod = with_result(job, TRAINED)
    pod["status"]["containerStatuses"][0]["state"]["terminated"] |= {"exitCode": code, "message": ""}
    return pod


def test_a_status_that_somebody_broke_counts_as_lost() -> None:
    job, *others = training(fine_tune_job())
    broken = with_status(job, phase="Resting", run={"digest": 7})
    decision = decide(broken, *others)
    assert (decision.phase, decision.created) == ("Training", [])


def test_half_a_status_is_completed() -> None:
    """What prepare found is taken as a whole or not at all: the registry needs every digest."""
    job, *others = training(fine_tune_job())
    halved = newer(job)
    del halved["status"]["baseModelDigest"]
    assert decide(halved, *others).status.base_model_digest is not None
    trained = train_done(job)
    assert decide(halved, *trained).jobs == [("prepare", 1)]


def test_owner_references_and_labels_of_the_model_may_be_lost() -> None:
    job, *others, model = succeeded(fine_tune_job())
    stripped = newer(model)
    stripped["metadata"].pop("labels", None)
    assert decide(wiped(job), *others, stripped).phase == "Succeeded"


# Evaluations


def evaluating() -> tuple[Raw, ...]:
    body = told(evaluation())
    prepare, evaluate = job_of(body, Step.PREPARE, ended="Complete"), job_of(body, Step.EVALUATE)
    children = (prepare, with_result(prepare, resolved()), evaluate, running(evaluate))
    return told(told(body), *children), *children


def test_an_evaluation_that_works_needs_no_preparation_and_is_not_started_twice() -> None:
    body, prepare, _, evaluate, pod = evaluating()
    decision = decide(wiped(body), prepare, evaluate, pod)
    assert (decision.phase, decision.created) == ("Evaluating", [])


def test_the_scores_of_an_evaluation_are_found_again_in_its_pod() -> None:
    body, *_ = evaluating()
    evaluate = job_of(body, Step.EVALUATE, ended="Complete")
    decision = decide(wiped(body), evaluate, with_result(evaluate, evaluated()))
    assert (decision.phase, decision.status.score) == ("Succeeded", "0.5")


def test_the_scores_of_an_evaluation_are_found_again_on_the_volume() -> None:
    body, *_ = evaluating()
    prepare = job_of(body, Step.PREPARE, ended="Complete")
    decision = decide(told(wiped(body)), prepare, with_result(prepare, resolved(done=evaluated())))
    assert (decision.phase, decision.status.score, decision.created) == ("Succeeded", "0.5", [])
    assert decision.status.predictions.path.startswith(f"research/{uid_of(body)}/")


def test_a_training_that_finds_no_preparation_on_its_volume_is_prepared_again() -> None:
    job, *children = queued(fine_tune_job())
    *prepare, _, _ = children
    failed = job_of(job, Step.TRAIN, ended="Failed")
    around = (*prepare, failed, *exits(3, Reason.PREPARATION_LOST)(failed))
    first = decide(job, *around)
    assert first.status.plan is None
    decision = decide(told(job, *around), *around, now=NOW + timedelta(hours=1))
    assert decision.jobs == [("prepare", 2)]
