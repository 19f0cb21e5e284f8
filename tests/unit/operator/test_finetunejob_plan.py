"""A FineTuneJob's way from `kubectl apply` to a registered model, step by step."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from finetune_api.conditions import Reason
from finetune_api.events import ProgressEvent
from finetune_api.group import Kind, Step
from finetune_api.orders import PrepareTrainingOrder, TrainOrder
from finetune_operator.digests import model_name
from finetune_operator.observe import observe
from finetune_operator.projections import pod_view
from finetune_operator.reconcile import plan
from finetune_operator.views import Obstacle

from .building import (
    DIGEST,
    NOW,
    SETTINGS,
    Raw,
    being_deleted,
    comparison,
    fine_tune_job,
    fine_tuned_model,
    job_of,
    key_of,
    moment,
    newer,
    owned_by,
    run_of,
    running,
    uid_of,
    with_result,
    with_status,
)
from .deciding import Decision, decide, order_of, scene, told
from .outcomes import TRAINED, model_of, prepare_done, prepared, queued, succeeded, train_done, training


def name_of_the_model(job: Raw) -> str:
    return model_name(job["metadata"]["name"], uid_of(job), run_of(job))


def test_a_new_job_is_prepared_first() -> None:
    decision = decide(fine_tune_job())
    assert decision.kinds_of_actions == ["EmitEvent", "WriteStatus", "CreateChild"], "told, then done"
    assert isinstance(order_of(decision.created[0]), PrepareTrainingOrder)
    assert (decision.phase, decision.reason) == ("Preparing", "Preparing")
    assert decision.status.run.digest == run_of(fine_tune_job())
    assert [event.reason for event in decision.events] == ["Preparing"]


def test_training_follows_what_prepare_found() -> None:
    job = told(fine_tune_job())
    decision = decide(job, *prepare_done(job))
    assert isinstance(order_of(decision.created[0]), TrainOrder)
    assert decision.phase == "Queued"
    assert decision.status.plan == prepared().plan
    assert decision.status.dataset == prepared().dataset
    assert decision.status.base_model_digest == DIGEST


def test_what_prepare_found_survives_its_pod() -> None:
    job, prepare, _, *_ = queued(fine_tune_job())
    decision = decide(job, prepare)
    assert decision.jobs == [("train", 1)]
    assert decision.status.plan == prepared().plan


def test_a_running_training_shows_its_progress() -> None:
    job, *children = queued(fine_tune_job())
    pod = running(children[-2])
    there = scene(job, *children[:-1], pod)
    view = pod_view(pod)
    assert view is not None
    event = ProgressEvent(time=moment(), step=30, steps=120, eta_seconds=754.0, loss="1.25", stage="training")
    there.cache.put_progress(view, event)
    observed = observe(there.cache, key_of(job), SETTINGS)
    assert observed is not None
    progress = Decision(plan(observed, NOW)).status.progress
    assert (progress.percentage, progress.eta, progress.loss) == (25, "12m34s", "1.25")


def test_a_training_that_ended_is_registered_before_it_is_told() -> None:
    job, *_ = training(fine_tune_job())
    decision = decide(job, *prepare_done(job), *train_done(job))
    assert decision.kinds_of_actions == ["CreateChild"]
    (model,) = decision.made(Kind.FINE_TUNED_MODEL)
    assert model["metadata"]["name"] == name_of_the_model(job)
    assert "ownerReferences" not in model["metadata"], "it outlives its job"
    assert model["spec"]["fineTuneJob"] == {"name": "tuned", "uid": uid_of(job), "run": run_of(job)}
    folder = f"research/{uid_of(job)}/{run_of(job)}/train/adapter"
    assert model["spec"]["adapter"]["persistentVolumeClaim"] == {"claimName": "artifacts", "path": folder}


def test_a_registered_training_has_succeeded() -> None:
    job, *_ = training(fine_tune_job())
    decision = decide(job, *prepare_done(job), *train_done(job), model_of(job))
    assert decision.phase == "Succeeded"
    assert decision.status.training == TRAINED.training
    assert decision.status.fine_tuned_model == name_of_the_model(job)
    assert decision.status.run.finished_at == moment()
    assert decision.status.progress is None
    assert decision.holds == dict.fromkeys(["Validated", "Scheduled", "Trained", "Complete"], "True")


def test_the_pods_word_is_enough_the_job_need_not_be_complete_yet() -> None:
    job, prepare, pod, *_ = training(fine_tune_job())
    train = job_of(job, Step.TRAIN)
    decision = decide(job, prepare, pod, train, with_result(train, TRAINED))
    assert decision.made(Kind.FINE_TUNED_MODEL)


def test_a_job_that_has_succeeded_asks_for_nothing_more() -> None:
    job, *others = succeeded(fine_tune_job())
    decision = decide(job, *others)
    assert decision.kinds_of_actions == ["WriteStatus"]
    assert decision.status.to_manifest() == job["status"]


def test_a_model_that_was_deleted_is_not_registered_again() -> None:
    job, *children, _ = succeeded(fine_tune_job())
    assert decide(job, *children).created == []


def test_a_job_that_is_being_deleted_is_left_alone() -> None:
    job, *children = training(fine_tune_job())
    assert decide(being_deleted(job), *children).plan.actions == ()


def test_a_result_that_prepare_found_on_the_volume_is_registered_without_a_gpu() -> None:
    job = told(fine_tune_job())
    found = prepare_done(job, trained=TRAINED)
    decision = decide(job, *found)
    assert decision.jobs == []
    assert decision.made(Kind.FINE_TUNED_MODEL)
    assert decide(job, *found, model_of(job)).phase == "Succeeded"


def test_only_the_computing_pod_asks_for_gpus() -> None:
    job = told(fine_tune_job(resources={"gpus": 2}))
    prepare, train = decide(fine_tune_job(resources={"gpus": 2})).created[0], decide(job, *prepare_done(job)).created[0]
    limits = [item["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] for item in (prepare, train)]
    assert [amounts.get("nvidia.com/gpu") for amounts in limits] == [None, "2"]


def test_the_order_says_where_everything_lies() -> None:
    job = fine_tune_job(dataset={"configMap": {"name": "earnings", "key": "train.jsonl"}})
    order = order_of(decide(job).created[0])
    assert isinstance(order, PrepareTrainingOrder)
    assert order.directory == f"/artifacts/research/{uid_of(job)}/{run_of(job)}"
    assert (order.dataset.volume, order.dataset.path) == ("/inputs/configmaps/earnings", "train.jsonl")
    assert order.dataset.manifest_field == "spec.dataset.configMap.key"
    assert order.base_model.manifest_field == "spec.baseModel.persistentVolumeClaim.path"


# Names that are taken, and objects that are refused


def in_the_way(reason: Reason, seconds_ago: float = 0, retry_seconds: float = 30) -> Obstacle:
    return Obstacle(reason, "It says what to do.", NOW - timedelta(seconds=seconds_ago), retry_seconds)


def wanted_name(job: Raw, *others: Raw) -> tuple[str, str]:
    (body,) = decide(job, *others).created
    return body["kind"], body["metadata"]["name"]


def test_a_strangers_job_of_the_same_name_ends_in_a_conflict() -> None:
    job = fine_tune_job()
    decision = decide(job, obstacles={wanted_name(job): in_the_way(Reason.NAME_CONFLICT)})
    assert (decision.phase, decision.reason) == ("Failed", "NameConflict")
    assert decision.created == []


def test_after_a_conflict_an_edited_job_goes_on_under_another_name() -> None:
    job = fine_tune_job()
    taken = wanted_name(job)
    failed = newer(job)
    failed["status"] = decide(job, obstacles={taken: in_the_way(Reason.NAME_CONFLICT)}).status.to_manifest()
    failed["metadata"]["generation"] = 2
    decision = decide(failed, now=NOW + timedelta(seconds=5), obstacles={taken: in_the_way(Reason.NAME_CONFLICT)})
    assert decision.jobs == [("prepare", 2)]
    assert decision.created[0]["metadata"]["name"] != taken[1]


@pytest.mark.parametrize("reason", [Reason.WAITING_FOR_QUOTA, Reason.POD_REFUSED, Reason.RETRYING])
def test_a_job_that_the_api_server_refuses_is_told_and_tried_again(reason: Reason) -> None:
    job = told(fine_tune_job(), now=NOW - timedelta(minutes=5))
    wanted = wanted_name(job)
    fresh = decide(job, obstacles={wanted: in_the_way(reason, seconds_ago=10)})
    assert (fresh.phase, fresh.reason, fresh.message) == ("Preparing", reason.value, "It says what to do.")
    assert fresh.created == []
    assert fresh.plan.look_again_seconds == 20
    later = decide(job, obstacles={wanted: in_the_way(reason, seconds_ago=31)})
    assert later.jobs == [("prepare", 1)]
    assert later.status == fresh.status, "the words stay until it succeeds"


def test_a_strangers_model_of_the_same_name_ends_in_a_conflict() -> None:
    job, *_ = training(fine_tune_job())
    stranger = fine_tuned_model(fine_tune_job("other"), name_of_the_model(job))
    decision = decide(job, *prepare_done(job), *train_done(job), stranger)
    assert (decision.phase, decision.reason) == ("Failed", "NameConflict")
    assert name_of_the_model(job) in decision.message


def test_a_model_of_an_earlier_namesake_is_a_strangers() -> None:
    job, *_ = training(fine_tune_job())
    namesake = fine_tune_job(metadata={"uid": "another"})
    stranger = fine_tuned_model(namesake, name_of_the_model(job))
    assert decide(job, *prepare_done(job), *train_done(job), stranger).reason == "NameConflict"


def test_a_model_that_the_api_server_refuses_is_told_and_the_training_is_not_lost() -> None:
    job, *_ = training(fine_tune_job())
    children = (*prepare_done(job), *train_done(job))
    wanted = wanted_name(job, *children)
    decision = decide(job, *children, obstacles={wanted: in_the_way(Reason.WAITING_FOR_QUOTA)})
    assert (decision.phase, decision.reason) == ("Training", "WaitingForQuota")
    assert decision.created == []
    assert decide(job, *children, obstacles={wanted: in_the_way(Reason.WAITING_FOR_QUOTA, 31)}).created


def test_a_strangers_unreadable_model_ends_in_a_conflict_too() -> None:
    job, *_ = training(fine_tune_job())
    children = (*prepare_done(job), *train_done(job))
    taken = {wanted_name(job, *children): in_the_way(Reason.NAME_CONFLICT)}
    assert decide(job, *children, obstacles=taken).reason == "NameConflict"


# The Comparison that follows by itself

EVALUATION = {"suite": {"builtin": "finance"}}


def evaluated_job() -> tuple[Raw, ...]:
    return succeeded(fine_tune_job(evaluation=EVALUATION))


def follow_up_of(job: Raw) -> Raw:
    return owned_by(comparison(name_of_the_model(job), candidate="tuned"), job)


def scored(job: Raw, body: Raw, verdict: str = "Improved") -> Raw:
    candidate = {"fineTuneJob": "tuned", "uid": uid_of(job), "run": run_of(job)}
    summary = {"base": "0.4", "tuned": "0.6", "delta": "+0.2", "verdict": verdict}
    return with_status(body, phase="Succeeded", candidates=[candidate], summary=summary)


def test_a_comparison_follows_by_itself_where_the_spec_asks_for_it() -> None:
    job, *others = evaluated_job()
    (made,) = decide(job, *others).made(Kind.COMPARISON)
    assert made["metadata"]["name"] == name_of_the_model(job)
    assert made["spec"]["candidates"] == [{"fineTuneJob": "tuned"}]
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (uid_of(job), True)
    assert "blockOwnerDeletion" not in owner


def test_no_comparison_follows_where_nobody_asked() -> None:
    job, *others = succeeded(fine_tune_job())
    assert decide(job, *others).made(Kind.COMPARISON) == []


def test_the_follow_up_is_named_in_the_status_and_told_until_it_ends() -> None:
    job, *others = evaluated_job()
    decision = decide(job, *others, follow_up_of(job))
    assert decision.created == []
    assert decision.status.comparison == name_of_the_model(job)
    assert decision.condition("Evaluated").message.endswith("is under way.")


def test_the_outcome_of_the_follow_up_is_told_in_a_line() -> None:
    job, *others = evaluated_job()
    decision = decide(job, *others, scored(job, follow_up_of(job)))
    assert decision.status.summary.verdict.value == "Improved"
    assert decision.condition("Evaluated").status.value == "True"
    assert decision.phase == "Succeeded"


def test_a_follow_up_that_failed_is_told_as_such() -> None:
    job, *others = evaluated_job()
    condition = {"type": "Failed", "status": "True", "reason": "SuiteInvalid", "message": "No such suite."}
    failed = with_status(follow_up_of(job), phase="Failed", conditions=[{**condition, "lastTransitionTime": moment()}])
    evaluated = decide(job, *others, failed).condition("Evaluated")
    assert (evaluated.status.value, evaluated.reason) == ("False", "EvaluationFailed")
    assert "No such suite." in evaluated.message


def test_a_follow_up_that_was_deleted_is_not_made_again() -> None:
    job, *others = evaluated_job()
    known = told(job, *others, follow_up_of(job))
    decision = decide(known, *others)
    assert decision.created == []
    assert "was deleted" in decision.condition("Evaluated").message


def test_a_strangers_comparison_is_not_taken_for_the_follow_up() -> None:
    job, *others = evaluated_job()
    decision = decide(job, *others, scored(job, comparison(name_of_the_model(job), candidate="another")))
    assert decision.created == []
    assert decision.status.comparison is None
    assert decision.condition("Evaluated").reason == "NameConflict"


def test_the_follow_ups_outcome_goes_before_that_of_other_comparisons() -> None:
    job, *others = evaluated_job()
    other = scored(job, comparison("a-comparison-first-by-name"), verdict="Inconclusive")
    assert decide(job, *others, other).status.summary.verdict.value == "Inconclusive"
    both = decide(job, *others, other, scored(job, follow_up_of(job)))
    assert both.status.summary.verdict.value == "Improved"


def test_a_comparison_of_another_run_says_nothing_of_this_one() -> None:
    job, *others = succeeded(fine_tune_job())
    other = scored(job, comparison("older"))
    other["status"]["candidates"][0]["run"] = "0123456789abcdef"
    assert decide(job, *others, other).status.summary is None


def test_events_are_named_by_what_they_say_so_that_nothing_is_said_twice() -> None:
    job = fine_tune_job()
    once, again = decide(job).events, decide(job).events
    assert once == again
    later = decide(newer(job)).events
    assert later[0].about != once[0].about, "a phase that comes back is told again"


def test_the_first_errors_of_a_dataset_are_told_with_their_number() -> None:
    failure = {
        "result": "failure",
        "reason": "DatasetInvalid",
        "message": "60 of 100 lines cannot be used; correct them.",
        "errors": ["line 1: no JSON", "line 4: output is empty"],
        "errorCount": 60,
    }
    job = told(fine_tune_job())
    step = job_of(job, Step.PREPARE, ended="Failed")
    pod = with_result(step, TRAINED)
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    terminated |= {"exitCode": 2, "message": json.dumps(failure)}
    decision = decide(job, step, pod)
    assert decision.message.splitlines()[:4] == [
        "60 of 100 lines cannot be used; correct them.",
        "- line 1: no JSON",
        "- line 4: output is empty",
        "- and 58 more, in prepare-errors.jsonl on the artifacts volume",
    ]
    assert decision.condition("Validated").reason == "DatasetInvalid"
    assert decision.events[0].warning
