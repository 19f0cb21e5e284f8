"""status.attempts: what is told of each attempt, and what stays told when its Job and pods are gone."""

from __future__ import annotations

from typing import Any

from finetune_api.conditions import Reason
from finetune_api.events import ProgressEvent
from finetune_api.group import Step
from finetune_api.results import Failure

from .building import Raw, ended, evaluation, fine_tune_job, job_of, moment, on_node, ranked, running, with_result
from .deciding import decide, told
from .outcomes import TRAINED, evaluated, model_of, prepare_done, queued, resolved, training

FULL = Failure(reason=Reason.STORAGE_FULL, message="The volume is full.").model_dump_json(by_alias=True)


def failed_training(job: Raw, attempt: int, node: str = "node-1", code: int = 3) -> tuple[Raw, Raw]:
    train = job_of(job, Step.TRAIN, attempt, ended="Failed")
    return train, on_node(ended(train, code, FULL), node)


def history(body: Raw) -> list[dict[str, Any]]:
    attempts: list[dict[str, Any]] = body["status"].get("attempts", [])
    return attempts


def test_an_attempt_is_told_once_its_container_runs() -> None:
    job = fine_tune_job()
    waiting, *_ = queued(job)
    assert history(waiting) == []
    working, *_ = training(job)
    assert history(working) == [{"number": 1, "startedAt": moment(-100), "node": "node-1", "counted": False}]


def test_it_tells_the_step_that_it_reached() -> None:
    job, *children = training(fine_tune_job())
    said = ProgressEvent(time=moment(), step=40, steps=120)
    (attempt,) = history(told(job, *children, said=(children[-1], said)))
    assert attempt["stepReached"] == 40


def test_a_failed_attempt_tells_end_node_exit_code_and_cause() -> None:
    job, *children = training(fine_tune_job())
    said = ProgressEvent(time=moment(), step=40, steps=120)
    seen = told(job, *children, said=(children[-1], said))
    (attempt,) = history(told(seen, *prepare_done(job), *failed_training(job, 1, "node-7")))
    assert attempt == {
        "number": 1,
        "startedAt": moment(-100),
        "endedAt": moment(-61),
        "node": "node-7",
        "exitCode": 3,
        "reason": "StorageFull",
        "counted": True,
        "stepReached": 40,
    }


def test_a_mistake_of_the_user_and_a_stop_count_nothing() -> None:
    job, *_ = training(fine_tune_job())
    for code in (2, 4):
        (attempt,) = history(told(job, *prepare_done(job), *failed_training(job, 1, code=code)))
        assert (attempt["exitCode"], attempt["counted"]) == (code, False)


def test_what_was_told_of_an_attempt_stays_when_its_pod_is_gone() -> None:
    job, *_ = training(fine_tune_job())
    train, pod = failed_training(job, 1)
    seen = told(job, *prepare_done(job), train, pod)
    assert history(told(seen, *prepare_done(job), train)) == history(seen)
    assert history(told(seen, *prepare_done(job))) == history(seen)


def test_a_lost_status_tells_what_can_still_be_seen() -> None:
    job = told(fine_tune_job())
    children = (*prepare_done(job), *failed_training(job, 1), *failed_training(job, 2))
    job["status"] = {"observedGeneration": -1}
    assert [(item["number"], item["exitCode"]) for item in history(told(job, *children))] == [(1, 3), (2, 3)]


def test_a_training_that_is_done_tells_its_last_step() -> None:
    job, *_ = training(fine_tune_job())
    train = job_of(job, Step.TRAIN, ended="Complete")
    done = told(job, *prepare_done(job), train, with_result(train, TRAINED), model_of(job))
    assert done["status"]["phase"] == "Succeeded"
    (attempt,) = history(done)
    assert (attempt["reason"], attempt["exitCode"], attempt["stepReached"]) == ("Succeeded", 0, 120)


def test_only_the_latest_ten_are_kept_oldest_first() -> None:
    job = told(fine_tune_job(retry={"limit": 20}))
    children = prepare_done(job)
    for number in range(1, 13):
        children = (*children, *failed_training(job, number))
        job = told(job, *children)
    assert [item["number"] for item in history(job)] == list(range(3, 13))


def test_several_pods_are_told_by_the_first_node_and_how_many_more() -> None:
    job, *_ = queued(fine_tune_job(resources={"nodes": 3}))
    train = job_of(job, Step.TRAIN)
    train["spec"]["completions"] = 3
    pods = [on_node(ranked(running(train, f"pod-{rank}"), rank), f"node-{rank}") for rank in range(3)]
    (attempt,) = history(told(job, *prepare_done(job), train, *pods))
    assert attempt["node"] == "node-0 and 2 more"


def test_a_preempted_pod_that_came_back_began_when_the_first_did() -> None:
    job, *_ = training(fine_tune_job())
    train = job_of(job, Step.TRAIN)
    second = running(train, "second", created=-5)
    second["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = moment(-1)
    (attempt,) = history(told(job, *prepare_done(job), train, on_node(second, "node-2")))
    assert (attempt["number"], attempt["startedAt"], attempt["node"]) == (1, moment(-100), "node-2")


def test_a_new_run_begins_with_no_attempts() -> None:
    job, *_ = training(fine_tune_job())
    failed = told(job, *prepare_done(job), *failed_training(job, 1, code=2))
    changed = {**failed, "spec": {**failed["spec"], "training": {"epochs": 9}}}
    changed["metadata"] = {**failed["metadata"], "generation": 2}
    assert history(told(changed)) == []


def test_an_evaluation_tells_its_attempts() -> None:
    body = told(evaluation())
    prepare = job_of(body, Step.PREPARE, ended="Complete")
    found = (prepare, with_result(prepare, resolved()))
    first = job_of(body, Step.EVALUATE, ended="Failed")
    seen = told(told(body, *found), *found, first, ended(first, 3, FULL))
    second = job_of(body, Step.EVALUATE, 2, ended="Complete")
    done = told(seen, *found, first, second, with_result(second, evaluated()))
    assert [(item["number"], item["reason"]) for item in history(done)] == [(1, "StorageFull"), (2, "Succeeded")]


def test_the_attempts_cost_no_write_of_their_own() -> None:
    """A pod that ended before its Job says so is told with what follows from it."""
    job, *children = training(fine_tune_job())
    _, pod = failed_training(job, 1)
    lagging = decide(job, *children[:-1], pod)
    assert lagging.status.to_manifest() == job["status"]
