"""spec.queueName: which Jobs wait in Kueue's queue, what is said of them, and that Kueue alone holds and lets go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetune_api.events import ProgressEvent
from finetune_api.group import Kind, Step
from finetune_operator.kueue_workloads import QUEUE_LABEL, KueueWorkloads, workload_view
from finetune_operator.plan.actions import ActivateWorkload, BoostPriority, SuspendJob
from finetune_operator.settings import KueueSettings

from .building import (
    DIGEST,
    SETTINGS,
    Raw,
    comparison,
    edited,
    ended,
    evaluation,
    fine_tune_job,
    job_of,
    newer,
    queued_job_of,
    running,
    uid_of,
    with_result,
    workload_of,
)
from .deciding import Decision, decide, told
from .outcomes import (
    TRAINED,
    as_served,
    comparison_prepared,
    evaluation_succeeded,
    evaluations_of,
    prepare_done,
    succeeded,
)

WITH_KUEUE = replace(SETTINGS, kueue=KueueSettings(enabled=True))
CPU_STEPS_TOO = replace(SETTINGS, kueue=KueueSettings(enabled=True, cpu_steps=True))
BOOSTING = replace(SETTINGS, kueue=KueueSettings(enabled=True, priority_boost=True))

PENDING = {"QuotaReserved": (False, "Pending", "insufficient unused quota for nvidia.com/gpu, 1 more needed")}
ADMITTED = {"QuotaReserved": (True, "QuotaReserved", "in gpus"), "Admitted": (True, "Admitted", "in gpus")}
PREEMPTED = {
    "QuotaReserved": (False, "Pending", "Preempted to accommodate another"),
    "Admitted": (False, "NoReservation", "The workload has no reservation"),
    "Evicted": (True, "Preempted", "Preempted to accommodate another"),
}
DEACTIVATED = {"Evicted": (True, "Deactivated", "The workload is deactivated")}


def planned(**spec: Any) -> Raw:
    """A FineTuneJob in a queue, whose prepare is done."""
    job = told(fine_tune_job(queueName="research", **spec), settings=WITH_KUEUE)
    return told(job, *prepare_done(job), settings=WITH_KUEUE)


def decided(job: Raw, *others: Raw, **options: Any) -> Decision:
    return decide(job, *prepare_done(job), *others, **{"settings": WITH_KUEUE, **options})


def waits(**workload: Any) -> tuple[Raw, Raw, Raw]:
    """A job whose training waits in the queue, its Job and its Workload."""
    job = planned()
    train = queued_job_of(job, Step.TRAIN)
    return told(job, *prepare_done(job), train, settings=WITH_KUEUE), train, workload_of(train, **workload)


def trains(**conditions: Any) -> tuple[Raw, Raw, Raw, Raw]:
    """A job whose training was let go, its Job, its pod and its Workload."""
    job = planned()
    train = queued_job_of(job, Step.TRAIN, suspended=False)
    pod, workload = running(train), workload_of(train, **(conditions or ADMITTED))
    return told(job, *prepare_done(job), train, pod, workload, settings=WITH_KUEUE), train, pod, workload


def labels_of_made(decision: Decision) -> list[str | None]:
    return [body["metadata"]["labels"].get(QUEUE_LABEL) for body in decision.created if body["kind"] == "Job"]


# Which Jobs


def test_a_training_is_labelled_with_the_queue_and_made_held() -> None:
    (made,) = decided(planned()).created
    assert made["metadata"]["labels"][QUEUE_LABEL] == "research"
    assert made["spec"]["suspend"] is True


def test_its_pods_do_not_bear_the_label() -> None:
    """Kueue would take each pod for work of its own."""
    (made,) = decided(planned()).created
    assert QUEUE_LABEL not in made["spec"]["template"]["metadata"]["labels"]


def test_without_a_queue_nothing_is_labelled_or_held() -> None:
    job = told(fine_tune_job(), settings=WITH_KUEUE)
    (made,) = decide(told(job, *prepare_done(job)), *prepare_done(job), settings=WITH_KUEUE).created
    assert QUEUE_LABEL not in made["metadata"]["labels"]
    assert "suspend" not in made["spec"]


@pytest.mark.parametrize(("settings", "label"), [(WITH_KUEUE, None), (CPU_STEPS_TOO, "research")])
def test_a_step_without_gpus_is_queued_only_where_the_chart_says_so(settings: Any, label: str | None) -> None:
    body = fine_tune_job(queueName="research")
    assert labels_of_made(decide(told(body, settings=settings), settings=settings)) == [label]
    assert labels_of_made(decided(planned(resources={"gpus": 0}), settings=settings)) == [label]


def test_an_evaluation_waits_in_the_queue_and_its_preparation_does_not() -> None:
    body = evaluation(queueName="research")
    assert labels_of_made(decide(body, settings=WITH_KUEUE)) == [None]
    resolved = newer(body)
    resolved["status"] = told(body, settings=WITH_KUEUE)["status"] | {"digest": DIGEST}
    assert labels_of_made(decide(resolved, settings=WITH_KUEUE)) == ["research"]


def test_a_comparison_hands_its_queue_to_the_evaluations_that_it_makes() -> None:
    job = succeeded(fine_tune_job())
    body = comparison(queueName="research")
    body = told(body, *job, settings=WITH_KUEUE)
    decision = decide(body, *job, *comparison_prepared(body), settings=WITH_KUEUE)
    assert [made["spec"]["queueName"] for made in decision.made(Kind.EVALUATION)] == ["research"] * 2


@pytest.mark.parametrize(("settings", "label"), [(WITH_KUEUE, None), (CPU_STEPS_TOO, "research")])
def test_comparing_takes_no_gpu(settings: Any, label: str | None) -> None:
    job = succeeded(fine_tune_job())
    body = told(comparison(), *job)
    there = (*job, *comparison_prepared(body))
    made = evaluations_of(body, *there)
    both = [evaluation_succeeded(item, item["spec"]["digest"]) for item in made]
    body = edited(told(body, *there, *made), queueName="research")
    assert labels_of_made(decide(body, *there, *both, settings=settings)) == [label]


def test_a_follow_up_and_replicates_wait_in_the_same_queue() -> None:
    job, *others = succeeded(fine_tune_job(evaluation={"suite": {"builtin": "finance"}}))
    job = edited(job, queueName="research")
    (follow_up,) = decide(job, *others, settings=WITH_KUEUE).made(Kind.COMPARISON)
    assert follow_up["spec"]["queueName"] == "research"
    several = told(fine_tune_job(queueName="research", training={"seeds": [1, 2]}), settings=WITH_KUEUE)
    replicates = decide(several, settings=WITH_KUEUE).made(Kind.FINE_TUNE_JOB)
    assert [made["spec"]["queueName"] for made in replicates] == ["research"] * 2


@pytest.mark.parametrize("body", [fine_tune_job(queueName="research"), evaluation(queueName="research")])
def test_a_queue_is_refused_where_the_operator_has_nothing_to_do_with_kueue(body: Raw) -> None:
    """Nobody would ever let such a Job go."""
    decision = decide(body)
    assert (decision.phase, decision.reason, decision.created) == ("Failed", "KueueNotEnabled", [])
    assert "spec.queueName" in decision.message
    assert "kueue.enabled" in decision.message


# What is said


def test_a_job_that_kueue_has_not_seen_yet_waits_for_it() -> None:
    job, train, _ = waits()
    decision = decided(job, train)
    assert (decision.phase, decision.reason) == ("Queued", "WaitingForQuota")
    assert "LocalQueue research" in decision.message
    assert decision.suspended == []


def test_a_job_without_quota_says_what_kueue_says() -> None:
    job, train, workload = waits(**PENDING)
    decision = decided(job, train, workload)
    assert (decision.phase, decision.reason) == ("Queued", "WaitingForQuota")
    assert "1 more needed (Pending)" in decision.message
    mirrored = decision.condition("QuotaReserved")
    assert (mirrored.status, mirrored.reason, mirrored.message) == ("False", *PENDING["QuotaReserved"][1:])


def test_reserved_quota_is_not_yet_an_admission() -> None:
    job, train, workload = waits(QuotaReserved=(True, "QuotaReserved", "in gpus"))
    assert "admission checks" in decided(job, train, workload).message


def test_an_admitted_job_trains_and_bears_kueues_conditions() -> None:
    job, *there = trains()
    decision = decided(job, *there)
    assert decision.phase == "Training"
    assert decision.holds["QuotaReserved"] == decision.holds["Admitted"] == "True"
    assert "Evicted" not in decision.holds


def test_an_eviction_shows_with_kueues_reason_while_the_pod_saves_its_work() -> None:
    job, train, pod, _ = trains()
    decision = decided(job, {**train, "spec": {"suspend": True}}, pod, workload_of(train, **PREEMPTED))
    assert (decision.phase, decision.reason) == ("Queued", "Preempted")
    assert "saving a checkpoint" in decision.message
    evicted = decision.condition("Evicted")
    assert (evicted.status, evicted.reason, evicted.message) == ("True", *PREEMPTED["Evicted"][1:])
    assert decision.holds["Admitted"] == "False"


def test_an_evicted_job_waits_for_its_next_admission() -> None:
    job, train, _, _ = trains()
    decision = decided(job, {**train, "spec": {"suspend": True}}, workload_of(train, **PREEMPTED))
    assert "goes on from its last checkpoint when it is admitted again" in decision.message
    assert decision.jobs == []


def test_a_requeue_shows_with_kueues_reason() -> None:
    job, train, _ = waits()
    requeued = (True, "BackoffFinished", "The backoff finished")
    decision = decided(job, train, workload_of(train, **PENDING, Requeued=requeued))
    assert (decision.condition("Requeued").reason, decision.holds["Requeued"]) == ("BackoffFinished", "True")


def test_a_workload_that_others_deactivated_is_not_activated() -> None:
    job, train, _ = waits()
    why = (True, "DeactivatedDueToRequeuingLimitExceeded", "exceeded the limit")
    decision = decided(job, train, workload_of(train, active=False, Evicted=why))
    assert (decision.phase, decision.reason) == ("Queued", "WaitingForQuota")
    assert "RequeuingLimitExceeded" in decision.message
    assert "spec.active" in decision.message
    assert not any(isinstance(action, ActivateWorkload) for action in decision.plan.actions)


def test_kueues_conditions_go_with_the_job() -> None:
    job, train, _, workload = trains()
    done = {**train, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}
    decision = decided(job, done, ended(train, 3), workload)
    assert "Admitted" not in decision.holds


def test_a_result_that_comes_before_the_jobs_end_ends_kueues_conditions_too() -> None:
    job, train, _, workload = trains()
    there = (train, with_result(train, TRAINED), workload)
    (model,) = decided(job, *there).made(Kind.FINE_TUNED_MODEL)
    decision = decided(job, *there, as_served(model))
    assert decision.phase == "Succeeded"
    assert "Admitted" not in decision.holds


# Suspension


def activations(decision: Decision) -> list[tuple[str, bool]]:
    found = [action for action in decision.plan.actions if isinstance(action, ActivateWorkload)]
    return [(action.workload.name, action.active) for action in found]


def assert_leaves_the_job_alone(decision: Decision) -> None:
    assert not any(isinstance(action, SuspendJob) for action in decision.plan.actions)
    assert (decision.created, decision.deleted) == ([], [])


def test_our_suspension_deactivates_the_workload_once_it_is_told() -> None:
    job, train, pod, workload = trains()
    decision = decided(edited(job, suspend=True), train, pod, workload)
    assert_leaves_the_job_alone(decision)
    assert decision.kinds_of_actions == ["EmitEvent", "WriteStatus", "ActivateWorkload"]
    assert activations(decision) == [(workload["metadata"]["name"], False)]
    assert (decision.phase, decision.holds["Suspended"]) == ("Suspended", "True")


def test_a_workload_that_is_held_stays_held() -> None:
    job, train, pod, workload = trains()
    suspended = told(edited(job, suspend=True), *prepare_done(job), train, pod, workload, settings=WITH_KUEUE)
    held = {**train, "spec": {"suspend": True}}
    decision = decided(suspended, held, workload_of(train, active=False, **DEACTIVATED))
    assert_leaves_the_job_alone(decision)
    assert (activations(decision), decision.phase) == ([], "Suspended")


def test_resuming_activates_it_again_and_leaves_the_rest_to_kueue() -> None:
    job, train, pod, workload = trains()
    held, inactive = {**train, "spec": {"suspend": True}}, workload_of(train, active=False, **DEACTIVATED)
    suspended = told(edited(job, suspend=True), *prepare_done(job), train, pod, workload, settings=WITH_KUEUE)
    suspended = told(suspended, *prepare_done(job), held, inactive, settings=WITH_KUEUE)
    resumed = edited(suspended, suspend=False)
    decision = decided(resumed, held, inactive)
    assert_leaves_the_job_alone(decision)
    assert activations(decision) == [(inactive["metadata"]["name"], True)]
    assert decision.phase == "Suspended", "told as going on only when the Workload is active"
    after = decided(resumed, held, workload_of(train, **PREEMPTED))
    assert (after.phase, activations(after)) == ("Queued", [])


def test_suspending_a_job_that_kueue_has_not_taken_up_waits_until_it_has() -> None:
    job, train, workload = waits(**PENDING)
    suspended = edited(job, suspend=True)
    decision = decided(suspended, train)
    assert_leaves_the_job_alone(decision)
    assert (activations(decision), decision.phase) == ([], "Suspended")
    assert activations(decided(suspended, train, workload)) == [(workload["metadata"]["name"], False)]


def test_a_job_that_ended_is_not_held_any_more() -> None:
    job, train, _, workload = trains()
    done = ended(train, 2, '{"result": "failure", "reason": "OrderInvalid", "message": "No."}')
    failed = {**train, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}
    assert activations(decided(edited(job, suspend=True), failed, done, workload)) == []


def test_one_that_was_admitted_but_has_not_begun_is_held_by_kueue_too() -> None:
    job, train, _ = waits()
    admitted = {**train, "spec": {"suspend": False}}
    decision = decided(edited(job, suspend=True), admitted, workload_of(train, **ADMITTED))
    assert_leaves_the_job_alone(decision)
    assert [active for _, active in activations(decision)] == [False]


# Edits


def test_an_edit_of_a_job_that_waits_for_quota_replaces_it() -> None:
    job, train, workload = waits(**PENDING)
    changed = edited(job, resources={"gpus": 1, "memory": "8Gi"})
    decision = decided(changed, train, workload)
    assert decision.deleted == [train["metadata"]["name"]]
    after = told(changed, *prepare_done(job), train, workload, settings=WITH_KUEUE)
    (made,) = decided(after).created
    assert made["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "8Gi"
    assert made["spec"]["suspend"] is True


def test_an_edit_of_an_evicted_job_replaces_it_once_its_pod_is_gone() -> None:
    job, train, pod, _ = trains()
    held, workload = {**train, "spec": {"suspend": True}}, workload_of(train, **PREEMPTED)
    changed = edited(job, queueName="other")
    assert decided(changed, held, pod, workload).deleted == []
    stopped = ended(train, 4, '{"result": "failure", "reason": "Preempted", "message": "Stopped."}')
    assert decided(changed, held, stopped, workload).deleted == [train["metadata"]["name"]]


def test_an_edit_of_a_job_that_was_admitted_does_not_stop_it() -> None:
    job, *there = trains()
    assert decided(edited(job, queueName="other"), *there).deleted == []


# Priority


def boosted(minutes: float | None, **options: Any) -> list[int]:
    job, train, pod, _ = trains()
    conditions, suspended = options.pop("conditions", ADMITTED), options.pop("suspended", False)
    workload = workload_of(train, boost=options.pop("boost", None), **conditions)
    age = None if minutes is None else minutes * 60
    said = ProgressEvent(time="2026-01-02T12:00:00Z", step=5, steps=10, checkpoint_age_seconds=age)
    there = ({**train, "spec": {"suspend": suspended}}, pod, workload)
    decision = decided(job, *there, said=(pod, said), **{"settings": BOOSTING, **options})
    found = [action for action in decision.plan.actions if isinstance(action, BoostPriority)]
    assert all(action.workload.uid == uid_of(workload) for action in found)
    return [action.boost for action in found]


@pytest.mark.parametrize(("minutes", "boosts"), [(0.5, []), (4.9, []), (5, [5]), (12, [10]), (500, [60])])
def test_the_priority_grows_with_the_age_of_the_last_checkpoint(minutes: float, boosts: list[int]) -> None:
    assert boosted(minutes) == boosts


def test_a_boost_that_is_right_is_not_written_again() -> None:
    assert boosted(12, boost="10") == []


def test_a_new_checkpoint_takes_the_boost_away() -> None:
    assert boosted(0.5, boost="10") == [0]


def test_a_job_that_was_evicted_has_nothing_to_lose() -> None:
    """With the boost it would push out whoever runs in its place."""
    assert boosted(30, boost="30", conditions=PREEMPTED, suspended=True) == [0]


def test_without_a_word_of_the_trainer_there_is_no_boost() -> None:
    assert boosted(None) == []


def test_no_boost_is_given_unless_the_chart_says_so() -> None:
    assert boosted(30, settings=WITH_KUEUE) == []


# Workloads as they are told


def test_a_workload_of_something_else_than_a_job_is_none_of_ours() -> None:
    workload = workload_of(job_of(fine_tune_job(), Step.TRAIN))
    workload["metadata"]["ownerReferences"] = [{"kind": "RayJob", "name": "x", "uid": "y"}]
    assert workload_view(workload) is None


def test_an_older_version_of_a_workload_changes_nothing() -> None:
    job = job_of(fine_tune_job(), Step.TRAIN)
    older, later = workload_view(workload_of(job)), workload_view(workload_of(job, **ADMITTED))
    assert older is not None
    assert later is not None
    known = KueueWorkloads()
    known.put(later)
    known.put(older)
    assert known.of(uid_of(job)) == later
    known.drop(replace(later, uid="another"))
    assert known.all() == [later]
    known.drop(later)
    assert known.of(uid_of(job)) is None


@pytest.mark.parametrize("boost", ["", "high", "1.5"])
def test_a_boost_that_is_no_number_counts_as_none(boost: str) -> None:
    view = workload_view(workload_of(job_of(fine_tune_job(), Step.TRAIN), boost=boost))
    assert view is not None
    assert view.boost == 0
