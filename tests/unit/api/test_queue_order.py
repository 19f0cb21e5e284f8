"""The queue as it is told: in the order in which work is taken up, and honest about what is not known."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.durations import duration, seconds_of
from finetune_api.evaluation import EvaluationSpec, EvaluationStatus
from finetune_api.finetunejob import FineTuneJobSpec, FineTuneJobStatus
from finetune_api.group import Kind
from finetune_api.queue_order import Claim, Lane, Place, Work, places, work_of

HOUR = 3600.0


def work(name: str, **known: Any) -> Work:
    whole = {
        "kind": Kind.FINE_TUNE_JOB,
        "namespace": "research",
        "name": name,
        "lane": Lane.SCHEDULER,
        "runs": False,
        "reason": "WaitingForGPU",
        "priority": 0,
        "since": "2026-01-02T12:00:00Z",
        "pods": 1,
        "gpus": 1,
        "seconds": None,
    }
    return Work(**{**whole, **known})


def at(hour: int) -> str:
    return f"2026-01-02T{hour:02}:00:00Z"


def running(name: str, hours: float | None, **known: Any) -> Work:
    return work(name, runs=True, seconds=None if hours is None else hours * HOUR, **known)


def names(found: list[Place]) -> list[str]:
    return [place.work.name for place in found]


def starts(*works: Work) -> list[float | None]:
    """In hours."""
    return [None if start is None else start / HOUR for start in (place.starts_in_seconds for place in places(works))]


def test_the_higher_priority_is_first_then_the_older_one() -> None:
    found = places([work("late", since=at(3)), work("early", since=at(1)), work("urgent", since=at(9), priority=1000)])
    assert names(found) == ["urgent", "early", "late"]
    assert [place.position for place in found] == [1, 2, 3]


def test_what_runs_stands_in_no_queue() -> None:
    assert names(places([running("at work", 1), work("next")])) == ["next"]


def test_others_namespaces_are_counted_apart_and_by_their_pods() -> None:
    first, second = work("a", namespace="risk", since=at(1), pods=4), work("b", since=at(2), pods=2)
    third = places([first, second, work("c", since=at(3))])[-1]
    assert (third.position, third.ahead, third.ahead_elsewhere) == (3, 2, 4)


def test_each_lane_has_an_order_of_its_own() -> None:
    found = places([work("a", since=at(1)), work("b", since=at(2), lane=Lane.KUEUE)])
    assert [place.position for place in found] == [1, 1]


def test_the_next_one_starts_when_the_first_gpu_is_free() -> None:
    assert starts(running("a", 5), running("b", 2), work("next")) == [2]


def test_each_adds_its_own_time_to_those_behind() -> None:
    waiting = [work("x", since=at(1), seconds=3 * HOUR), work("y", since=at(2), seconds=HOUR), work("z", since=at(3))]
    assert starts(running("a", 2), *waiting) == [2, 5, 6]


def test_two_gpus_are_waited_for_together_and_those_behind_wait_too() -> None:
    two = work("two", since=at(1), gpus=2, seconds=HOUR)
    assert starts(running("a", 2), running("b", 5), two, work("one", since=at(2))) == [5, 6]


@pytest.mark.parametrize(
    "others",
    [
        [],
        [running("a", None)],
        [running("a", 1), running("b", None)],
        [running("a", 1), work("first", since=at(1))],
        [running("a", 1), work("first", since=at(1), gpus=2, seconds=HOUR)],
    ],
    ids=["nobody of ours runs", "no end is known", "one end is not known", "one in front is unknown", "too large"],
)
def test_a_start_that_nothing_tells_is_not_guessed(others: list[Work]) -> None:
    assert starts(*others, work("last", since=at(9)))[-1] is None


lists_of_work = st.lists(
    st.builds(
        work,
        st.text("abc", min_size=1, max_size=3),
        namespace=st.sampled_from(["research", "risk"]),
        lane=st.sampled_from(Lane),
        runs=st.booleans(),
        priority=st.integers(-2, 2),
        since=st.integers(0, 9).map(at),
        pods=st.integers(1, 4),
        gpus=st.integers(1, 4),
        seconds=st.none() | st.floats(0, 1e6),
    ),
    max_size=12,
    unique_by=lambda item: (item.namespace, item.name),
)


@given(lists_of_work, st.randoms(use_true_random=False))
def test_places_add_up_and_follow_from_the_work_alone(works: list[Work], random: Random) -> None:
    found = places(works)
    assert len(found) == sum(not item.runs for item in works)
    for place in found:
        in_front = [other.work for other in found if other.work.turn < place.work.turn]
        in_front = [item for item in in_front if item.lane is place.work.lane]
        assert place.position == len(in_front) + 1
        assert place.ahead + place.ahead_elsewhere == sum(item.pods for item in in_front)
    shuffled = random.sample(works, len(works))
    assert places(shuffled) == found
    for lane in Lane:
        known = [place.starts_in_seconds for place in found if place.work.lane is lane]
        told = [start for start in known if start is not None]
        assert told == sorted(told)
        assert known == told + [None] * (len(known) - len(told))


# What counts as waiting


def status(phase: str, reason: str, **more: Any) -> dict[str, Any]:
    scheduled = {
        "type": "Scheduled",
        "status": "False",
        "reason": reason,
        "message": "",
        "lastTransitionTime": at(4),
    }
    return {"phase": phase, "conditions": [scheduled], **more}


SPEC = {
    "baseModel": {"persistentVolumeClaim": {"claimName": "models", "path": "x"}},
    "dataset": {"persistentVolumeClaim": {"claimName": "datasets", "path": "x"}},
}
PLAN = {
    "method": "lora",
    "quantization": "none",
    "precision": "float32",
    "microBatchSize": 1,
    "gradientAccumulation": 1,
    "steps": 10,
    "stepsPerEpoch": 10,
    "hours": "2.0",
}


def of_job(said: dict[str, Any], claim: Claim | None = None, **spec: Any) -> Work | None:
    read = FineTuneJobSpec.model_validate({**SPEC, **spec})
    return work_of(Kind.FINE_TUNE_JOB, "research", "a", read, FineTuneJobStatus.model_validate(said), claim)


@pytest.mark.parametrize(
    ("phase", "reason", "waits"),
    [
        ("Queued", "WaitingForGPU", True),
        ("Queued", "WaitingForNode", True),
        ("Queued", "WaitingForQuota", True),
        ("Queued", "Preempted", True),
        ("Queued", "WaitingForImage", False),
        ("Queued", "Starting", False),
        ("Queued", "StorageFailed", False),
        ("Preparing", "WaitingForNode", False),
        ("Suspended", "Suspended", False),
        ("Succeeded", "Trained", False),
    ],
)
def test_only_what_waits_for_others_to_leave_is_in_the_queue(phase: str, reason: str, waits: bool) -> None:
    assert (of_job(status(phase, reason)) is not None) is waits


def test_what_asks_for_no_gpu_is_not_in_the_queue() -> None:
    assert of_job(status("Queued", "WaitingForNode"), resources={"gpus": 0}) is None


def test_pods_tell_priority_and_age_and_else_the_condition_does() -> None:
    told = of_job(status("Queued", "WaitingForGPU"), Claim(7, at(5)), resources={"gpus": 2, "nodes": 3})
    untold = of_job(status("Queued", "WaitingForGPU"))
    assert told is not None
    assert untold is not None
    assert (told.priority, told.since, told.pods, told.gpus) == (7, at(5), 3, 6)
    assert (untold.priority, untold.since, untold.pods, untold.gpus) == (0, at(4), 1, 1)


@pytest.mark.parametrize(
    ("phase", "more", "hours"),
    [
        ("Queued", {}, None),
        ("Queued", {"plan": PLAN}, 2.0),
        ("Queued", {"plan": PLAN, "progress": {"percentage": 75, "step": 3, "steps": 4, "eta": "9h0m"}}, 0.5),
        ("Training", {"plan": PLAN, "progress": {"percentage": 75, "step": 3, "steps": 4, "eta": "1h30m"}}, 1.5),
        ("Training", {"plan": PLAN, "progress": {"percentage": 50, "step": 2, "steps": 4}}, 1.0),
        ("Training", {"progress": {"percentage": 50, "step": 2, "steps": 4}}, None),
        ("Queued", {"plan": {**PLAN, "hours": "inf"}}, None),
    ],
)
def test_the_time_left_is_what_it_says_itself_or_the_plans(phase: str, more: Any, hours: float | None) -> None:
    found = of_job(status(phase, "WaitingForGPU", **more))
    assert found is not None
    assert found.seconds == (None if hours is None else hours * HOUR)


def test_an_evaluation_waits_in_the_same_queue() -> None:
    spec = EvaluationSpec.model_validate(
        {"model": {"baseModel": SPEC["baseModel"]}, "suite": {"builtin": "finance"}, "queueName": "research"}
    )
    said = EvaluationStatus.model_validate(status("Queued", "WaitingForQuota"))
    found = work_of(Kind.EVALUATION, "research", "b", spec, said, None)
    assert found is not None
    assert (found.lane, found.seconds, found.runs) == (Lane.KUEUE, None, False)
    assert replace(found, seconds=1.0) != found


@pytest.mark.parametrize(("seconds", "written"), [(0, "0s"), (59.6, "1m0s"), (750, "12m30s"), (11100, "3h5m")])
def test_durations_are_read_as_they_are_written(seconds: float, written: str) -> None:
    assert duration(seconds) == written
    assert seconds_of(written) == round(seconds)


@pytest.mark.parametrize("written", ["", "soon", "5", "-3s", "1.5h", "3s2m"])
def test_what_is_no_duration_is_not_read(written: str) -> None:
    assert seconds_of(written) is None
