"""The cache: nothing that is old replaces what is new, whatever the order in which it is told."""

from __future__ import annotations

import copy
import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.events import ProgressEvent
from finetune_api.group import Kind, Step
from finetune_operator.cache import REMEMBERED, Cache
from finetune_operator.intake import Intake
from finetune_operator.projections import job_view, pod_view, resource_view, trouble_view
from finetune_operator.views import JobState, Key, PodView
from finetune_operator.workqueue import WorkQueue

from .building import (
    NAMESPACE,
    Raw,
    comparison,
    edited,
    ended,
    evaluation,
    fine_tune_job,
    job_of,
    key_of,
    moment,
    newer,
    pod_of,
    running,
    starting,
    trouble,
    uid_of,
    with_status,
)
from .deciding import scene

TUNED = Key(Kind.FINE_TUNE_JOB, NAMESPACE, "tuned")


def intake() -> tuple[Intake, Cache, WorkQueue[Key]]:
    cache = Cache()
    queue: WorkQueue[Key] = WorkQueue(lambda: 0.0)
    return Intake(cache, queue), cache, queue


def view_of_pod(body: Raw) -> PodView:
    view = pod_view(body)
    assert view is not None
    return view


def test_an_older_version_never_replaces_a_newer_one() -> None:
    taking, cache, _ = intake()
    old = fine_tune_job()
    new = edited(old, suspend=True)
    taking.resource(Kind.FINE_TUNE_JOB, new)
    taking.resource(Kind.FINE_TUNE_JOB, old)
    found = cache.resource(TUNED)
    assert found is not None
    assert found.spec.suspend


def test_what_is_gone_does_not_come_back() -> None:
    taking, cache, _ = intake()
    job = fine_tune_job()
    taking.resource_gone(Kind.FINE_TUNE_JOB, newer(job))
    taking.resource(Kind.FINE_TUNE_JOB, newer(job))
    assert cache.resource(TUNED) is None


def test_a_namesake_is_kept_when_its_predecessor_is_told_of_late() -> None:
    taking, cache, _ = intake()
    old = fine_tune_job()
    new = newer({**old, "metadata": {**old["metadata"], "uid": "another"}})
    taking.resource(Kind.FINE_TUNE_JOB, old)
    taking.resource(Kind.FINE_TUNE_JOB, new)
    taking.resource(Kind.FINE_TUNE_JOB, old)
    taking.resource_gone(Kind.FINE_TUNE_JOB, old)
    found = cache.resource(TUNED)
    assert found is not None
    assert found.uid == "another"


def test_a_namesake_has_none_of_its_predecessors_children() -> None:
    old = fine_tune_job()
    job = job_of(old, Step.PREPARE)
    there = scene(old, job, running(job))
    there.take(newer({**old, "metadata": {**old["metadata"], "uid": "another"}}))
    assert there.cache.children("another").items == ()


def test_a_job_that_was_made_anew_has_none_of_its_predecessors_pods() -> None:
    owner = fine_tune_job()
    old = job_of(owner, Step.TRAIN)
    new = newer({**old, "metadata": {**old["metadata"], "uid": "another"}})
    there = scene(owner, old, running(old), new)
    (child,) = there.cache.children(uid_of(owner)).items
    assert (child.job.uid, child.pods) == ("another", ())
    assert [pod.job_uid for pod in there.cache.children(uid_of(owner)).strays] == [uid_of(old)]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_no_stray(phase: str) -> None:
    owner = fine_tune_job()
    there = scene(owner, pod_of(job_of(owner, Step.TRAIN), phase=phase))
    assert there.cache.children(uid_of(owner)).strays == ()


History = list[tuple[str, Raw]]


def a_jobs_history() -> History:
    """Everything that is ever told of a job, its Job and pod, and of the namesake that follows."""
    owner = fine_tune_job()
    job = job_of(owner, Step.PREPARE)
    pod = starting(job)
    changed, done = with_status(owner, phase="Preparing"), newer(job)
    done["status"] = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": moment()}]}
    works, over = newer(running(job)), newer(ended(job))
    namesake = newer({**owner, "metadata": {**owner["metadata"], "uid": "another"}})
    return [
        ("MODIFIED", owner),
        ("MODIFIED", job),
        ("MODIFIED", pod),
        ("MODIFIED", changed),
        ("MODIFIED", works),
        ("MODIFIED", over),
        ("MODIFIED", done),
        ("DELETED", newer(changed)),
        ("DELETED", newer(done)),
        ("MODIFIED", namesake),
    ]


def state_after(history: History) -> object:
    taking, cache, _ = intake()
    for type_, body in history:
        tell(taking, type_, copy.deepcopy(body))
    resources = [(key, view.uid, view.resource_version) for key in cache.all_keys() if (view := cache.resource(key))]
    jobs = sorted((job.uid, job.resource_version) for job in cache.all_jobs())
    pods = sorted((pod.uid, pod.resource_version) for pod in cache.all_pods())
    return resources, jobs, pods


def tell(taking: Intake, type_: str, body: Raw) -> None:
    gone = type_ == "DELETED"
    match body["kind"]:
        case "Job":
            (taking.job_gone if gone else taking.job)(body)
        case "Pod":
            (taking.pod_gone if gone else taking.pod)(body)
        case "Event":
            taking.trouble(body)
        case kind:
            (taking.resource_gone if gone else taking.resource)(Kind(kind), body)


@given(seed=st.integers(min_value=0, max_value=2**32), repeats=st.integers(min_value=0, max_value=10))
def test_any_order_and_repetition_of_events_leaves_the_same_behind(seed: int, repeats: int) -> None:
    history = a_jobs_history()
    expected = state_after(history)
    random = Random(seed)
    shuffled = [*history, *random.choices(history, k=repeats)]
    random.shuffle(shuffled)
    assert state_after(shuffled) == expected


def test_warnings_are_kept_until_their_object_is_known() -> None:
    """The three are watched apart: an Event may come first."""
    owner = fine_tune_job()
    job = job_of(owner, Step.TRAIN)
    pod = starting(job)
    bodies = [owner, job, pod, trouble(pod, "FailedMount", "no such claim")]
    for order in itertools.permutations(bodies):
        (child,) = scene(*order).cache.children(uid_of(owner)).items
        assert child.warning is not None
        assert child.warning.message == "no such claim"


def test_the_latest_warning_counts_and_others_of_the_cluster_are_bounded() -> None:
    owner = fine_tune_job()
    job = job_of(owner, Step.TRAIN)
    there = scene(owner, job)
    there.take(trouble(job, "FailedCreate", "new", seconds=0), trouble(job, "FailedCreate", "old", seconds=-60))
    (child,) = there.cache.children(uid_of(owner)).items
    assert child.warning is not None
    assert child.warning.message == "new"
    for number in range(REMEMBERED + 1):
        there.take(trouble({"metadata": {"uid": str(number)}}, "FailedCreate", "of somebody else"))
    (child,) = there.cache.children(uid_of(owner)).items
    assert child.warning is None


def test_progress_is_that_of_the_newest_pod() -> None:
    owner = fine_tune_job()
    job = job_of(owner, Step.TRAIN)
    first, second = ended(job, 4, created=-500), running(job, "second", created=-50)
    there = scene(owner, job, first, second)
    for pod, step in ((first, 90), (second, 10)):
        event = ProgressEvent(time=moment(), step=step, steps=100)
        assert there.cache.put_progress(view_of_pod(pod), event)
        assert not there.cache.put_progress(view_of_pod(pod), event), "it says nothing new"
    (child,) = there.cache.children(uid_of(owner)).items
    assert child.progress is not None
    assert child.progress.step == 10


def test_speaking_pods_are_those_whose_log_can_tell_something() -> None:
    owner = fine_tune_job()
    job = job_of(owner, Step.TRAIN)
    there = scene(owner, job, starting(job), running(job, "a"), ended(job, name="b"))
    assert [pod.name for pod in there.cache.speaking_pods()] == [f"{job['metadata']['name']}-a"]


def test_resources_are_found_by_what_they_name() -> None:
    there = scene(comparison("a"), comparison("b", candidate="other"), evaluation(model={"fineTunedModel": "m"}))
    assert [item.key.name for item in there.cache.referrers(TUNED, Kind.COMPARISON)] == ["a"]
    model = Key(Kind.FINE_TUNED_MODEL, NAMESPACE, "m")
    assert [item.key.name for item in there.cache.referrers(model, Kind.EVALUATION)] == ["scored"]
    there.take(edited(comparison("a"), candidates=[{"fineTuneJob": "other"}]))
    assert there.cache.referrers(TUNED, Kind.COMPARISON) == []


# What is asked for


def woken(*bodies: Raw, by: Raw) -> set[Key]:
    taking, _, queue = intake()
    for body in bodies:
        tell(taking, "MODIFIED", body)
    while len(queue):
        _take(queue)
    tell(taking, "MODIFIED", by)
    return {_take(queue) for _ in range(len(queue))}


def _take(queue: WorkQueue[Key]) -> Key:
    got = queue.get()
    try:
        got.send(None)
    except StopIteration as answer:
        key: Key = answer.value
        queue.done(key)
        return key
    raise AssertionError("the queue is empty")


def test_a_child_wakes_its_owner() -> None:
    owner = fine_tune_job()
    job = job_of(owner, Step.PREPARE)
    assert woken(owner, by=job) == {key_of(owner)}
    assert woken(owner, job, by=running(job)) == {key_of(owner)}
    assert woken(owner, job, by=trouble(job, "FailedCreate", "quota")) == {key_of(owner)}


def test_a_child_of_nobody_wakes_nobody() -> None:
    assert woken(fine_tune_job("other"), by=job_of(fine_tune_job(), Step.PREPARE)) == set()


def test_a_job_wakes_the_comparisons_that_wait_for_it() -> None:
    waiting, other = comparison("a"), comparison("b", candidate="other")
    assert woken(waiting, other, by=fine_tune_job()) == {TUNED, key_of(waiting)}


def test_a_comparison_wakes_its_job_and_its_model() -> None:
    job = fine_tune_job()
    candidate = {"fineTuneJob": "tuned", "uid": uid_of(job), "fineTunedModel": "m"}
    scored = with_status(comparison(), phase="Succeeded", candidates=[candidate])
    model = Key(Kind.FINE_TUNED_MODEL, NAMESPACE, "m")
    assert {TUNED, model} <= woken(job, by=scored)


def test_an_evaluation_wakes_the_comparisons_that_use_it() -> None:
    using = with_status(comparison(), baselineEvaluation="scored")
    assert key_of(using) in woken(using, by=evaluation())


def test_an_object_that_cannot_be_read_is_passed_over_and_its_deletion_is_not() -> None:
    taking, cache, _ = intake()
    taking.resource(Kind.FINE_TUNE_JOB, fine_tune_job())
    unreadable = newer(fine_tune_job(baseModel="a text"))
    taking.resource(Kind.FINE_TUNE_JOB, unreadable)
    assert cache.resource(TUNED) is not None
    taking.resource_gone(Kind.FINE_TUNE_JOB, unreadable)
    assert cache.resource(TUNED) is None


# Projections


@pytest.mark.parametrize(
    "labels",
    [
        None,
        {},
        {"app.kubernetes.io/managed-by": "finetune-operator"},
        {"app.kubernetes.io/managed-by": "helm"},
        {"finetune.dev/attempt": "two"},
        {"finetune.dev/step": "dance"},
        {"finetune.dev/owner-kind": "Pod"},
    ],
)
def test_jobs_and_pods_whose_labels_are_not_ours_are_passed_over(labels: dict[str, str] | None) -> None:
    job = job_of(fine_tune_job(), Step.TRAIN)
    complete = job["metadata"]["labels"]
    damaged = {**complete, **labels} if labels and len(labels) == 1 and "finetune.dev" in next(iter(labels)) else labels
    body = {**job, "metadata": {**job["metadata"], "labels": damaged}}
    assert job_view(body) is None
    assert pod_view(body) is None


@pytest.mark.parametrize("back", [True, False])
def test_a_job_whose_labels_were_taken_away_is_none_of_ours_until_it_has_them_again(back: bool) -> None:
    owner = fine_tune_job()
    job = job_of(owner, Step.TRAIN)
    cache = scene(owner, job).cache
    intake = Intake(cache, WorkQueue(lambda: 0.0))
    bare = newer(job)
    bare["metadata"]["labels"] = {}
    intake.job(bare)
    intake.job(newer(job) if back else job)
    assert len(cache.children(uid_of(owner)).items) == back, "an event from before brings it not back"


def test_an_object_without_a_status_is_a_new_one() -> None:
    job = job_of(fine_tune_job(), Step.TRAIN)
    pod = pod_of(job)
    del job["status"], pod["status"], pod["spec"]
    view = job_view(job)
    assert view is not None
    assert (view.state, view.suspended) == (JobState.ACTIVE, False)
    assert view_of_pod(pod).termination is None


def test_the_container_of_a_service_mesh_is_not_taken_for_ours() -> None:
    pod = running(job_of(fine_tune_job(), Step.TRAIN))
    sidecar = {"name": "istio-proxy", "state": {"terminated": {"exitCode": 1}}}
    pod["status"]["containerStatuses"].insert(0, sidecar)
    assert view_of_pod(pod).started_at
    assert view_of_pod(pod).termination is None


def test_conditions_that_do_not_hold_are_passed_over() -> None:
    job = job_of(fine_tune_job(), Step.TRAIN, ended="Complete")
    job["status"]["conditions"][0]["status"] = "False"
    view = job_view(job)
    assert view is not None
    assert view.state is JobState.ACTIVE


def test_a_status_that_cannot_be_read_counts_as_none_but_is_still_known_to_stand_there() -> None:
    body = with_status(fine_tune_job(), phase="Resting")
    view = resource_view(Kind.FINE_TUNE_JOB, body)
    assert view.status.phase is None
    assert view.written_status["phase"] == "Resting"


@pytest.mark.parametrize("reason", ["Scheduled", "BackOff", "Unhealthy", ""])
def test_events_that_objects_tell_themselves_are_passed_over(reason: str) -> None:
    assert trouble_view(trouble(job_of(fine_tune_job(), Step.TRAIN), reason, "x")) is None


def test_an_event_of_the_newer_kind_has_its_time_too() -> None:
    event = trouble(job_of(fine_tune_job(), Step.TRAIN), "FailedCreate", "x")
    del event["lastTimestamp"]
    event["eventTime"] = "2026-01-02T12:00:00.123456Z"
    view = trouble_view(event)
    assert view is not None
    assert view.time == "2026-01-02T12:00:00.123456Z"
