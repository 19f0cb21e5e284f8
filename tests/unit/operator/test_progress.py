"""Progress: what the tail of a log tells, and how often it is looked at."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.durations import duration
from finetune_api.events import ProblemEvent, ProgressEvent, StageEvent
from finetune_api.group import Step
from finetune_operator.cluster import ApiError, Cluster
from finetune_operator.plan.pursuit import progress_of
from finetune_operator.progress import ProgressFollower, last_progress
from finetune_operator.projections import job_view, pod_view
from finetune_operator.views import Child

from .building import Raw, fine_tune_job, job_of, key_of, moment, running, uid_of
from .deciding import scene
from .simulation import virtual_time


def line(step: int, steps: int = 100) -> str:
    return ProgressEvent(time=moment(), step=step, steps=steps).model_dump_json()


def stage(name: str) -> str:
    return StageEvent(time=moment(), stage=name).model_dump_json()


def test_the_last_line_counts() -> None:
    progress = last_progress("\n".join([line(1), line(2), line(3)]))
    assert progress is not None
    assert progress.step == 3


def test_a_stage_that_begins_keeps_the_numbers() -> None:
    progress = last_progress("\n".join([line(7), stage("saving")]))
    assert progress is not None
    assert (progress.step, progress.stage) == (7, "saving")


def test_the_last_loss_and_speed_hold_while_the_guard_rests() -> None:
    learnt = ProgressEvent(time=moment(), step=7, steps=9, loss="1.5", tokens_per_second="20", checkpoint_age_seconds=3)
    resting = ProgressEvent(time=moment(1), step=7, steps=9, gpu_watts=90)
    progress = last_progress("\n".join(event.model_dump_json() for event in (learnt, resting, resting)))
    assert progress is not None
    assert (progress.loss, progress.tokens_per_second, progress.gpu_watts) == ("1.5", "20", 90)
    assert (progress.time, progress.checkpoint_age_seconds) == (moment(1), None)


def test_a_later_loss_takes_the_place_of_an_earlier_one() -> None:
    losses = (ProgressEvent(time=moment(), step=step, steps=9, loss=f"{step}.5") for step in (1, 2))
    progress = last_progress("\n".join(event.model_dump_json() for event in losses))
    assert progress is not None
    assert progress.loss == "2.5"


def test_a_stage_alone_is_progress_too() -> None:
    progress = last_progress(stage("loading"))
    assert progress is not None
    assert (progress.step, progress.steps, progress.stage) == (0, 0, "loading")


def test_other_lines_are_passed_over() -> None:
    problem = ProblemEvent(time=moment(), message="line 3").model_dump_json()
    noise = ["", "Downloading...", '{"event": "progress"}', '{"event": "dance"}', "[1]", '{"eve', problem, "null"]
    progress = last_progress("\n".join([*noise, line(5), *noise]))
    assert progress is not None
    assert progress.step == 5
    assert last_progress("\n".join(noise)) is None


@given(st.text())
def test_no_log_can_do_harm(text: str) -> None:
    last_progress(text)


def child_with(event: ProgressEvent | None) -> Child:
    view = job_view(job_of(fine_tune_job(), Step.TRAIN))
    assert view is not None
    return Child(view, progress=event)


@pytest.mark.parametrize(
    ("step", "steps", "percentage"), [(0, 100, 0), (1, 3, 33), (100, 100, 100), (150, 100, 100), (5, 0, 0)]
)
def test_the_share_is_between_nothing_and_all(step: int, steps: int, percentage: int) -> None:
    progress = progress_of(child_with(ProgressEvent(time=moment(), step=step, steps=steps)))
    assert progress is not None
    assert progress.percentage == percentage


def test_no_pod_has_no_progress() -> None:
    assert progress_of(None) is None
    assert progress_of(child_with(None)) is None


@given(
    step=st.integers(),
    steps=st.integers(),
    eta=st.none() | st.floats(allow_nan=True, allow_infinity=True),
    loss=st.none() | st.text(),
    stage=st.none() | st.text(),
)
def test_no_progress_of_a_pod_can_stop_the_operator(
    step: int, steps: int, eta: float | None, loss: str | None, stage: str | None
) -> None:
    event = ProgressEvent(time="", step=step, steps=steps, eta_seconds=eta, loss=loss, stage=stage)
    progress = progress_of(child_with(event))
    assert progress is None or 0 <= progress.percentage <= 100


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (-5, "0s"), (45.4, "45s"), (59.6, "1m0s"), (754, "12m34s"), (3600, "1h0m"), (11_100, "3h5m")],
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


class Logs(Cluster):
    """Pods' logs, and how often each was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken: set[str] = set()
        self.step = 0

    async def log_tail(self, namespace: str, pod: str) -> str:
        self.asked.append(pod)
        if pod in self.broken:
            raise ApiError(404, "no such pod")
        self.step += 1
        return line(self.step)


def followed(pods: int, seconds: float, *, broken: bool = False) -> tuple[Logs, Raw, int]:
    """Asked how often in so many seconds."""
    owner = fine_tune_job()
    job = job_of(owner, Step.TRAIN)
    bodies = [running(job, str(number)) for number in range(pods)]
    there = scene(owner, job, *bodies)
    logs = Logs()
    if broken:
        logs.broken = {body["metadata"]["name"] for body in bodies}

    async def tell() -> int:
        follower = ProgressFollower(there.cache, logs, there.queue, 30, asyncio.get_running_loop().time)
        task = asyncio.create_task(follower.follow())
        await asyncio.sleep(seconds)
        assert not task.done(), "it never ends by itself"
        task.cancel()
        return len(there.queue)

    return logs, owner, virtual_time.run(tell())


def test_a_pod_is_looked_at_once_in_thirty_seconds() -> None:
    logs, owner, _ = followed(1, 95)
    assert len(logs.asked) == 4
    assert owner["metadata"]["name"] == "tuned"


def test_ten_pods_a_second_are_looked_at_each_in_its_turn() -> None:
    logs, _, _ = followed(25, 2.5)
    assert len(logs.asked) == len(set(logs.asked)) == 25
    logs, _, _ = followed(25, 0.5)
    assert len(logs.asked) == 10


def test_a_log_that_cannot_be_read_ends_nothing() -> None:
    logs, _, queued = followed(3, 65, broken=True)
    assert len(logs.asked) == 9
    assert queued == 0 or queued == 1


def test_progress_wakes_the_resource_and_is_shown() -> None:
    owner = fine_tune_job()
    job = job_of(owner, Step.TRAIN)
    pod = running(job)
    there = scene(owner, job, pod)
    view = pod_view(pod)
    assert view is not None

    async def tell() -> None:
        await there.queue.get()
        there.queue.done(key_of(owner))
        follower = ProgressFollower(there.cache, Logs(), there.queue, 30, asyncio.get_running_loop().time)
        task = asyncio.create_task(follower.follow())
        assert await there.queue.get() == key_of(owner)
        task.cancel()

    virtual_time.run(tell())
    (child,) = there.cache.children(uid_of(owner)).items
    progress = progress_of(child)
    assert progress is not None
    assert progress.step == 1


def test_only_pods_that_compute_are_looked_at() -> None:
    owner = fine_tune_job()
    job = job_of(owner, Step.PREPARE)
    there = scene(owner, job, running(job))
    logs = Logs()

    async def tell() -> None:
        follower = ProgressFollower(there.cache, logs, there.queue, 30, asyncio.get_running_loop().time)
        task = asyncio.create_task(follower.follow())
        await asyncio.sleep(5)
        task.cancel()

    virtual_time.run(tell())
    assert logs.asked == []
