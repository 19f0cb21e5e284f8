"""Runs: what starts one, what does not, what becomes of an edit, and where old ones are kept."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.group import Kind, Step
from finetune_api.orders import TrainOrder

from .building import (
    DATASET_SOURCE,
    NOW,
    Raw,
    comparison,
    edited,
    evaluation,
    fine_tune_job,
    job_of,
    moment,
    newer,
    rerun,
    run_of,
    running,
    uid_of,
    with_status,
)
from .child_outcomes import exits
from .deciding import decide, order_of, told
from .outcomes import (
    evaluation_succeeded,
    prepare_done,
    queued,
    succeeded,
    training,
)

OTHER_MODEL = {"persistentVolumeClaim": {"claimName": "models", "path": "mistral"}}

NAMED_BY: dict[Kind, tuple[Raw, dict[str, Any]]] = {
    Kind.FINE_TUNE_JOB: (
        fine_tune_job(),
        {
            "baseModel": OTHER_MODEL,
            "dataset": {**DATASET_SOURCE, "validationFraction": "0.2"},
            "method": "lora",
            "quantization": "nf4",
            "lora": {"rank": 8},
            "training": {"epochs": 5},
        },
    ),
    Kind.EVALUATION: (
        evaluation(),
        {
            "model": {"baseModel": OTHER_MODEL},
            "suite": {"builtin": "finance", "limitPerTask": 10},
            "decoding": {"maxNewTokens": 8},
            "digest": "sha256:" + "a" * 64,
        },
    ),
    Kind.COMPARISON: (
        comparison(),
        {
            "candidates": [{"fineTuneJob": "other"}],
            "baseline": {"baseModel": OTHER_MODEL},
            "suite": {"builtin": "finance", "limitPerTask": 10},
            "decoding": {"maxNewTokens": 8},
            "gate": {"minImprovementPercent": "10"},
        },
    ),
}
"""Changes that ask for another run."""

WORKLOAD: dict[str, Any] = {
    "resources": {"gpus": 4, "memory": "64Gi"},
    "artifacts": {"persistentVolumeClaim": {"claimName": "elsewhere"}},
    "priorityClassName": "research",
    "imagePullSecrets": [{"name": "registry"}],
    "retry": {"limit": 9},
}
NOT_NAMED_BY: dict[Kind, dict[str, Any]] = {
    Kind.FINE_TUNE_JOB: {**WORKLOAD, "suspend": True, "evaluation": {"suite": {"builtin": "finance"}}},
    Kind.EVALUATION: {**WORKLOAD, "suspend": True},
    Kind.COMPARISON: WORKLOAD,
}
"""Changes that act on the next pod, or at once."""


def changes(of: dict[Kind, dict[str, Any]]) -> list[Any]:
    named = [(kind, field, value) for kind, fields in of.items() for field, value in fields.items()]
    return [pytest.param(kind, {field: value}, id=f"{kind.value}.{field}") for kind, field, value in named]


@pytest.mark.parametrize(("kind", "change"), changes({kind: fields for kind, (_, fields) in NAMED_BY.items()}))
def test_a_change_of_what_goes_into_a_run_asks_for_another_one(kind: Kind, change: Raw) -> None:
    body, _ = NAMED_BY[kind]
    assert run_of(edited(body, **change)) != run_of(body)


@pytest.mark.parametrize(("kind", "change"), changes(NOT_NAMED_BY))
def test_a_change_of_how_it_is_run_asks_for_none(kind: Kind, change: Raw) -> None:
    body, _ = NAMED_BY[kind]
    assert run_of(edited(body, **change)) == run_of(body)


@pytest.mark.parametrize("kind", list(NAMED_BY))
def test_the_rerun_annotation_asks_for_another_run_of_the_same(kind: Kind) -> None:
    body, _ = NAMED_BY[kind]
    assert len({run_of(body), run_of(rerun(body, "1")), run_of(rerun(body, "2"))}) == 3


@pytest.mark.parametrize("kind", list(NAMED_BY))
def test_other_metadata_asks_for_nothing(kind: Kind) -> None:
    body, _ = NAMED_BY[kind]
    touched = newer(body)
    touched["metadata"] |= {"labels": {"team": "a"}, "annotations": {"argocd.argoproj.io/tracking-id": "x"}}
    assert run_of(touched) == run_of(body)


def test_a_default_that_is_written_out_is_the_same_run() -> None:
    """The API server fills in defaults, and a later version brings new fields with defaults of their own."""
    explicit = fine_tune_job(
        dataset={**DATASET_SOURCE, "validationFraction": "0.1"},
        method="auto",
        lora={"rank": 16, "alpha": 32, "dropout": "0.05"},
        training={"epochs": 3, "seed": 42, "aFieldOfALaterVersion": 1},
    )
    assert run_of(explicit) == run_of(fine_tune_job())


def test_the_digest_of_a_run_never_changes() -> None:
    """It names folders on volumes and models in registries: a new version of the operator must find them again."""
    assert run_of(fine_tune_job()) == "0963a51d3890dd06"
    assert run_of(fine_tune_job(training={"epochs": 1}, method="qlora", quantization="nf4")) == "924728df765a4e7a"
    assert run_of(evaluation()) == "68fe39c33d1b1d9e"
    assert run_of(comparison()) == "33e3141f1b9c98d8"


# An edit while a run is going on


def test_a_change_while_a_run_is_going_on_waits_and_is_told() -> None:
    job, *children = training(fine_tune_job())
    decision = decide(edited(job, training={"epochs": 9}), *children)
    assert (decision.phase, decision.reason) == ("Training", "SpecChangePending")
    assert "a new run starts when this one ends" in decision.message
    assert decision.status.run.digest == run_of(job)
    assert decision.status.observed_generation == 2
    assert decision.kinds_of_actions == ["WriteStatus"]


def test_a_change_that_is_taken_back_is_told_no_more() -> None:
    job, *children = training(fine_tune_job())
    pending = told(edited(job, training={"epochs": 9}), *children)
    decision = decide(edited(pending, training={}), *children)
    assert (decision.reason, decision.message) == ("Running", "Training on node node-1.")


def test_a_run_keeps_to_the_spec_that_it_began_with() -> None:
    job = told(fine_tune_job(training={"epochs": 1}))
    prepare = prepare_done(job)
    changed = edited(job, training={"epochs": 9}, resources={"gpus": 7})
    (train,) = decide(changed, *prepare).created
    order = order_of(train)
    assert isinstance(order, TrainOrder)
    assert order.training.epochs == 1
    assert order.gpus == 7, "what the pods may take acts on the next pod"


def test_a_change_that_waited_starts_a_run_when_the_old_one_has_ended() -> None:
    job, *children = succeeded(fine_tune_job())
    decision = decide(edited(job, training={"epochs": 9}), *children)
    assert decision.jobs == [("prepare", 1)]
    assert decision.phase == "Preparing"
    assert decision.status.run.digest != run_of(job)
    assert (decision.status.training, decision.status.fine_tuned_model) == (None, None)
    (past,) = decision.status.history
    assert (past.digest, past.phase, past.reason) == (run_of(job), "Succeeded", "Trained")
    assert past.fine_tuned_model == job["status"]["fineTunedModel"]


def test_a_rerun_of_a_job_that_has_succeeded_starts_over() -> None:
    job, *children = succeeded(fine_tune_job())
    decision = decide(rerun(job), *children)
    assert decision.jobs == [("prepare", 1)]
    assert decision.status.run.digest == run_of(rerun(job))


def test_history_keeps_the_last_ten_runs() -> None:
    job, *children = succeeded(fine_tune_job())
    past = [{"digest": f"{number:016}", "phase": "Failed", "reason": "DatasetInvalid"} for number in range(10)]
    decision = decide(rerun(with_status(job, history=past)), *children)
    digests = [item.digest for item in decision.status.history]
    assert digests == [run_of(job), *(f"{number:016}" for number in range(9))]


def test_a_run_that_is_asked_for_once_more_is_no_longer_history() -> None:
    job, *children = succeeded(fine_tune_job())
    other = rerun(job)
    there = with_status(
        other, run={"digest": run_of(other), "startedAt": moment()}, history=[past_run(run_of(job)), past_run("b" * 16)]
    )
    back = newer(there)
    del back["metadata"]["annotations"]
    decision = decide(back, *children)
    assert decision.status.run.digest == run_of(job)
    assert [item.digest for item in decision.status.history] == [run_of(other), "b" * 16]


def past_run(digest: str) -> Raw:
    return {"digest": digest, "phase": "Failed", "reason": "DatasetInvalid"}


def test_a_run_that_succeeded_before_is_not_trained_again_when_the_spec_comes_back() -> None:
    job, *children = succeeded(fine_tune_job())
    there = edited(job, training={"epochs": 9})
    there = with_status(there, run={"digest": run_of(there), "startedAt": moment()}, phase="Failed")
    decision = decide(edited(there, training={}), *children)
    assert decision.jobs == []
    assert decision.phase == "Succeeded"


def failed_job(code: int = 2) -> tuple[Raw, ...]:
    """It failed in prepare, for good."""
    job = told(fine_tune_job())
    step = job_of(job, Step.PREPARE, ended="Failed")
    children = (step, *exits(code)(step))
    return (told(job, *children), *children)


def test_a_run_that_failed_before_gets_another_attempt_when_the_spec_comes_back() -> None:
    job, *children = failed_job()
    there = edited(job, training={"epochs": 9})
    there = with_status(there, run={"digest": run_of(there), "startedAt": moment()}, phase="Failed")
    decision = decide(edited(there, training={}), *children)
    assert decision.jobs == [("prepare", 2)]


# After a failure


def test_a_failed_job_stays_failed_while_nothing_changes() -> None:
    job, *children = failed_job()
    assert decide(job, *children).plan.actions == ()


def test_a_failed_job_goes_on_after_an_edit_from_where_it_was() -> None:
    job, *_ = training(fine_tune_job())
    train = job_of(job, Step.TRAIN, ended="Failed")
    oom = exits(137)(train)[0]
    oom["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
    children = (*prepare_done(job), train, oom)
    failed = told(job, *children)
    decision = decide(edited(failed, resources={"memory": "64Gi"}), *children)
    assert decision.jobs == [("train", 2)], "what prepare found still holds"
    assert decision.phase == "Queued"
    assert decision.status.run.digest == run_of(job)
    assert (decision.status.failures, decision.status.run.finished_at) == (0, None)
    assert decision.status.history == ()


def test_an_edit_that_goes_on_is_the_same_attempt_however_often_it_is_worked_out() -> None:
    job, *children = failed_job()
    changed = edited(job, retry={"limit": 5})
    first, again = decide(changed, *children), decide(changed, *children)
    assert first.created[0]["metadata"]["name"] == again.created[0]["metadata"]["name"]


def test_a_failed_job_whose_training_changes_starts_a_run_of_its_own() -> None:
    job, *children = failed_job()
    decision = decide(edited(job, training={"epochs": 9}), *children)
    assert decision.status.run.digest != run_of(job)
    assert [item.reason for item in decision.status.history] == ["OrderInvalid"]


def test_jobs_of_a_run_that_is_over_are_ended() -> None:
    """Only where the status that told of it was lost."""
    job = fine_tune_job()
    old = job_of(job, Step.TRAIN, run="f" * 16)
    done = job_of(job, Step.TRAIN, 2, run="f" * 16, ended="Complete")
    assert decide(job, old, running(old), done).deleted == [old["metadata"]["name"]]


# What has ended, and an edit that starts nothing


@pytest.mark.parametrize("change", [{"retry": {"limit": 7}}, {"priorityClassName": "research"}])
@pytest.mark.parametrize("kind", ["job", "evaluation"])
def test_an_edit_that_starts_nothing_is_acknowledged(kind: str, change: Raw) -> None:
    """kstatus waits until the generation was seen."""
    body, *others = succeeded(fine_tune_job()) if kind == "job" else (evaluation_succeeded(evaluation()),)
    decision = decide(edited(body, **change), *others)
    assert decision.kinds_of_actions == ["WriteStatus"]
    assert decision.status.observed_generation == 2
    assert decision.phase == "Succeeded"
    assert {item.observed_generation for item in decision.status.conditions} == {2}
    before = {item["type"]: item["lastTransitionTime"] for item in body["status"]["conditions"]}
    assert {item.type: item.last_transition_time for item in decision.status.conditions} == before


def test_a_suspended_job_that_has_succeeded_stays_so() -> None:
    job, *others = succeeded(fine_tune_job())
    assert decide(edited(job, suspend=True), *others).phase == "Succeeded"


# A namesake


def test_a_namesake_with_another_uid_takes_nothing_over() -> None:
    job, *children = succeeded(fine_tune_job())
    namesake = fine_tune_job(metadata={"uid": "another"})
    decision = decide(namesake, *children)
    assert decision.jobs == [("prepare", 1)]
    names = {item["metadata"]["name"] for item in decision.created}
    assert not names & {item["metadata"]["name"] for item in children}
    assert uid_of(namesake) != uid_of(job)


def test_transition_times_are_kept_while_a_condition_does_not_change() -> None:
    job, *children = queued(fine_tune_job())
    before = {item["type"]: item for item in job["status"]["conditions"]}
    train = children[-2]
    later = decide(job, *children[:-1], running(train), now=NOW.replace(hour=13))
    after = {item.type: item for item in later.status.conditions}
    assert after["Validated"].last_transition_time == before["Validated"]["lastTransitionTime"]
    assert after["Complete"].last_transition_time == before["Complete"]["lastTransitionTime"]
    assert after["Scheduled"].last_transition_time == "2026-01-02T13:00:00Z"
