"""A FineTuneJob with training.seeds: a FineTuneJob a seed, waited for together, and compared together."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from finetune_api.conditions import Reason
from finetune_api.finetunejob import FineTuneJobSpec
from finetune_api.group import Kind
from finetune_operator.digests import replicate_name
from finetune_operator.observe import dependents
from finetune_operator.plan.actions import DeleteReplicate, SuspendReplicate
from finetune_operator.views import Obstacle

from .building import NOW, Raw, comparison, edited, fine_tune_job, key_of, moment, run_of, uid_of, with_status
from .deciding import Decision, decide, scene, told

SEEDS = (1, 2, 3)


def parent(**spec: Any) -> Raw:
    return fine_tune_job("recipe", training={"seeds": list(SEEDS), "epochs": 2}, **spec)


def born(of: Raw, *others: Raw) -> list[Raw]:
    """The replicates that the operator asks for, as the API server has them."""
    made = decide(of, *others).made(Kind.FINE_TUNE_JOB)
    return [_as_created(body) for body in made]


def _as_created(body: Raw) -> Raw:
    fresh = fine_tune_job(body["metadata"]["name"])
    uid = f"uid-{body['metadata']['name'][-16:]}"
    return {**fresh, "metadata": {**fresh["metadata"], **body["metadata"], "uid": uid}, "spec": body["spec"]}


def in_phase(replicate: Raw, phase: str, **status: Any) -> Raw:
    return with_status(replicate, phase=phase, **status)


def succeeded(replicate: Raw) -> Raw:
    name = f"model-{replicate['spec']['training']['seed']}"
    return in_phase(replicate, "Succeeded", fineTunedModel=name)


def failed(replicate: Raw, *, seconds: float = 5) -> Raw:
    run = {"digest": run_of(replicate), "startedAt": moment(-100), "attempt": 1, "finishedAt": moment(seconds)}
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": "DatasetInvalid",
        "message": "Line 3 has no output.",
        "lastTransitionTime": moment(seconds),
    }
    return in_phase(replicate, "Failed", run=run, conditions=[condition])


def suspensions(decision: Decision) -> list[bool]:
    return [action.suspend for action in decision.plan.actions if isinstance(action, SuspendReplicate)]


def deletions(decision: Decision) -> list[str]:
    return [action.name for action in decision.plan.actions if isinstance(action, DeleteReplicate)]


def test_each_seed_gets_a_job_that_differs_from_the_others_in_its_seed_alone() -> None:
    job = parent(evaluation={"suite": {"builtin": "finance"}})
    decision = decide(job)
    made = decision.made(Kind.FINE_TUNE_JOB)
    assert [body["spec"]["training"]["seed"] for body in made] == list(SEEDS)
    assert decision.jobs == [] and decision.phase == "Training"
    for body in made:
        assert body["spec"]["training"]["epochs"] == 2
        assert "seeds" not in body["spec"]["training"] and "evaluation" not in body["spec"]
        (owner,) = body["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (uid_of(job), True)
    assert [body["metadata"]["name"] for body in made] == [
        replicate_name("recipe", uid_of(job), run_of(job), seed) for seed in SEEDS
    ]
    assert made[0]["metadata"]["name"].startswith("recipe-seed-1-")


def test_replicates_of_another_run_have_other_names() -> None:
    names = {body["metadata"]["name"] for body in born(parent())}
    others = {body["metadata"]["name"] for body in born(edited(parent(), lora={"rank": 4}))}
    assert not names & others


def test_the_status_tells_how_each_replicate_does() -> None:
    job = told(parent())
    first, second, third = born(job)
    decision = decide(job, succeeded(first), in_phase(second, "Training"), third)
    assert decision.phase == "Training" and "1 of 3 replicates have ended" in decision.message
    assert "seed 2 is Training, seed 3 is new" in decision.message
    assert [(item.seed, item.phase, item.fine_tuned_model) for item in decision.status.replicates] == [
        (1, "Succeeded", "model-1"),
        (2, "Training", None),
        (3, None, None),
    ]
    assert decision.created == []


def test_one_that_was_deleted_is_made_again() -> None:
    job = told(parent())
    first, _, third = born(job)
    (again,) = decide(job, in_phase(first, "Training"), third).made(Kind.FINE_TUNE_JOB)
    assert again["spec"]["training"]["seed"] == 2


def test_it_succeeds_when_all_have() -> None:
    job = told(parent())
    decision = decide(job, *map(succeeded, born(job)))
    assert (decision.phase, decision.reason) == ("Succeeded", "Trained")
    assert decision.status.run.finished_at is not None and decision.status.progress is None


def test_a_failure_is_told_by_name_once_all_have_ended() -> None:
    job = told(parent())
    first, second, third = born(job)
    meanwhile = decide(job, failed(first), in_phase(second, "Training"), succeeded(third))
    assert meanwhile.phase == "Training"
    after = decide(job, failed(first), succeeded(second), succeeded(third))
    assert (after.phase, after.reason) == ("Failed", "DatasetInvalid")
    assert f"FineTuneJob {first['metadata']['name']} (seed 1) failed: Line 3 has no output." in after.message
    assert second["metadata"]["name"] not in after.message


def test_those_that_failed_are_made_anew_when_the_job_is_taken_up_again() -> None:
    job = told(parent())
    first, *others = born(job)
    there = (failed(first), *map(succeeded, others))
    again = edited(told(job, *there), retry={"limit": 5})
    later = NOW + timedelta(seconds=60)
    decision = decide(again, *there, now=later)
    assert deletions(decision) == [first["metadata"]["name"]] and decision.phase == "Training"
    (made,) = decide(told(again, *there, now=later), *there[1:], now=later).created
    assert made["spec"]["training"]["seed"] == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_suspend_is_passed_on_to_those_that_have_not_ended(wanted: bool) -> None:
    job = told(parent(suspend=not wanted))
    first, second, third = born(job)
    there = (succeeded(first), in_phase(second, "Training"), in_phase(third, "Queued"))
    assert suspensions(decide(job, *there)) == []
    assert suspensions(decide(edited(job, suspend=wanted), *there)) == [wanted, wanted]


def test_it_is_suspended_when_all_that_have_not_ended_are() -> None:
    job = told(parent(suspend=True))
    first, second, third = born(job)
    waiting = decide(job, succeeded(first), in_phase(second, "Suspended"), in_phase(third, "Training"))
    assert waiting.phase == "Training"
    held = decide(job, succeeded(first), in_phase(second, "Suspended"), in_phase(third, "Suspended"))
    assert (held.phase, held.holds["Suspended"]) == ("Suspended", "True")


def test_an_edit_waits_for_the_end_of_replicates_that_train() -> None:
    job = told(parent())
    working = [in_phase(body, "Training") for body in born(job)]
    changed = edited(told(job, *working), lora={"rank": 4})
    decision = decide(changed, *working)
    assert decision.reason == "SpecChangePending" and decision.created == [] and deletions(decision) == []
    done = [succeeded(body) for body in working]
    after = decide(told(changed, *done), *done)
    assert len(after.made(Kind.FINE_TUNE_JOB)) == 3 and deletions(after) == []


def test_an_edit_replaces_replicates_that_have_not_begun() -> None:
    job = told(parent())
    waiting = [in_phase(body, "Pending") for body in born(job)]
    decision = decide(edited(told(job, *waiting), lora={"rank": 4}), *waiting)
    assert deletions(decision) == [body["metadata"]["name"] for body in waiting]
    assert len(decision.made(Kind.FINE_TUNE_JOB)) == 3


def test_a_strangers_job_of_that_name_ends_it() -> None:
    job = told(parent())
    name = born(job)[0]["metadata"]["name"]
    obstacle = Obstacle(Reason.NAME_CONFLICT, f"FineTuneJob {name} exists.", NOW, 30)
    decision = decide(job, obstacles={("FineTuneJob", name): obstacle})
    assert (decision.phase, decision.reason) == ("Failed", "NameConflict")


def test_one_comparison_follows_with_all_replicates_as_candidates() -> None:
    job = told(parent(evaluation={"suite": {"builtin": "finance"}}))
    there = [succeeded(body) for body in born(job)]
    (made,) = decide(told(job, *there), *there).created
    assert made["kind"] == "Comparison"
    assert [item["fineTuneJob"] for item in made["spec"]["candidates"]] == [body["metadata"]["name"] for body in there]


def test_what_becomes_of_a_replicate_wakes_its_job() -> None:
    job = parent()
    first, *_ = born(job)
    cache = scene(job, first).cache
    replicate = cache.resource(key_of(first))
    assert replicate is not None and key_of(job) in dependents(cache, replicate)


def test_a_comparison_that_names_the_recipe_is_refused_with_the_names_of_its_replicates() -> None:
    job = told(told(parent()))
    decision = decide(comparison(candidate="recipe"), job)
    assert (decision.phase, decision.reason) == ("Failed", "OrderInvalid")
    assert "Name the replicates: recipe-seed-1-" in decision.message


@pytest.mark.parametrize("seeds", [[1], list(range(9)), [-1, 2]])
def test_one_seed_nine_and_negative_ones_are_refused(seeds: list[int]) -> None:
    with pytest.raises(ValidationError, match="seeds"):
        FineTuneJobSpec.model_validate(fine_tune_job(training={"seeds": seeds})["spec"])
