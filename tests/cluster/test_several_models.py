"""Several trainings of one recipe, and several candidates of one Comparison."""

from __future__ import annotations

import pytest

from manifests import comparison, examples, fine_tune_job
from workbench import Workbench

QUESTIONS = {"builtin": "finance", "limitPerTask": 2}
DECODING = {"maxNewTokens": 2}


@pytest.fixture(scope="module")
def bench(shared_workbench: Workbench) -> Workbench:
    shared_workbench.write("datasets", "train.jsonl", examples(24))
    return shared_workbench


@pytest.fixture(scope="module")
def recipe(bench: Workbench) -> Workbench:
    """A recipe with two seeds, and the Comparison that follows."""
    bench.apply(fine_tune_job("recipe", training={"seeds": [1, 2]}, evaluation={"suite": QUESTIONS}))
    bench.wait_for_phase("finetunejob", "recipe", "Succeeded", seconds=420)
    return bench


def test_each_seed_is_trained_by_a_job_of_its_own(recipe: Workbench) -> None:
    replicates = recipe.status("finetunejob", "recipe")["replicates"]
    assert [(one["seed"], one["phase"]) for one in replicates] == [(1, "Succeeded"), (2, "Succeeded")]
    losses = {one["validationLoss"] for one in replicates}
    models = [recipe.get("finetunedmodel", one["fineTunedModel"]) for one in replicates]
    assert None not in models and len(losses) == 2
    owner = recipe.get("finetunejob", "recipe")
    for one in replicates:
        job = recipe.get("finetunejob", one["fineTuneJob"])
        assert job is not None and owner is not None
        assert job["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]


def test_two_seeds_are_compared_together_and_prove_nothing_of_the_recipe(recipe: Workbench) -> None:
    name = recipe.status("finetunejob", "recipe")["comparison"]
    status = recipe.wait_for_phase("comparison", name, "Succeeded", seconds=420)
    assert len(status["candidates"]) == 2
    assert (status["recipe"]["seeds"], status["recipe"]["verdict"]) == (2, "Inconclusive")


def test_candidates_are_ranked_and_one_that_left_no_model_is_left_out(recipe: Workbench) -> None:
    jobs = [one["fineTuneJob"] for one in recipe.status("finetunejob", "recipe")["replicates"]]
    recipe.apply(fine_tune_job("hopeless", dataset="nowhere.jsonl"))
    recipe.wait_for_phase("finetunejob", "hopeless", "Failed")
    candidates = [{"fineTuneJob": job} for job in (*jobs, "hopeless")]
    several = comparison("several", jobs[0], candidates=candidates, suite=QUESTIONS, decoding=DECODING)
    recipe.apply(several)
    status = recipe.wait_for_phase("comparison", "several", "Succeeded", seconds=420)
    found = {one["fineTuneJob"]: one for one in status["candidates"]}
    assert "hopeless" in found["hopeless"]["leftOut"] and "verdict" not in found["hopeless"]
    assert all("leftOut" not in found[job] and "verdict" in found[job] for job in jobs)
    report = (recipe.volume("artifacts") / status["report"]["path"]).read_text()
    assert all(job in report for job in found)
