"""From `kubectl apply` to a verdict, on the real cluster."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from manifests import comparison, evaluation, examples, fine_tune_job
from workbench import Json, Workbench, condition


@pytest.fixture(scope="module")
def finished(shared_workbench: Workbench) -> Workbench:
    """A job with its own Comparison, and a second Comparison of the same job: all Succeeded."""
    shared_workbench.write("datasets", "train.jsonl", examples(24))
    shared_workbench.apply(
        fine_tune_job("tuned", evaluation={"suite": {"builtin": "finance", "limitPerTask": 4}}),
        comparison("tuned-vs-base", "tuned"),
    )
    shared_workbench.wait_for_phase("comparison", "tuned-vs-base", "Succeeded", seconds=420)
    return shared_workbench


def test_a_job_ends_with_a_registered_model_and_its_lineage(finished: Workbench) -> None:
    status = finished.status("finetunejob", "tuned")
    assert status["phase"] == "Succeeded"
    assert status["observedGeneration"] == 1
    model = finished.get("finetunedmodel", status["fineTunedModel"])
    assert model is not None
    assert model["spec"]["fineTuneJob"]["run"] == status["run"]["digest"]
    assert model["spec"]["dataset"]["digest"] == status["dataset"]["digest"]
    assert model["spec"]["adapter"]["digest"] == status["training"]["adapterDigest"]
    adapter = finished.volume("artifacts") / model["spec"]["adapter"]["persistentVolumeClaim"]["path"]
    assert (adapter / "adapter_model.safetensors").is_file()
    assert "ownerReferences" not in model["metadata"]


def test_conditions_tell_machines_how_it_went(finished: Workbench) -> None:
    status = finished.status("finetunejob", "tuned")
    holds = {item["type"]: item["status"] for item in status["conditions"]}
    assert holds["Validated"] == holds["Scheduled"] == holds["Trained"] == holds["Complete"] == "True"
    assert "Ready" not in holds
    assert "Stalled" not in holds


def test_every_phase_is_told_by_one_event(finished: Workbench) -> None:
    reasons = [event["reason"] for event in finished.events("tuned")]
    assert {"Preparing", "Training", "Succeeded"} <= set(reasons)
    assert len(reasons) == len(set(reasons))


def test_a_comparison_ends_with_a_verdict_an_interval_for_each_task_and_a_report(finished: Workbench) -> None:
    status = finished.status("comparison", "tuned-vs-base")
    candidate = status["candidates"][0]
    assert candidate["verdict"] in {"Improved", "Regressed", "NoDifference", "Inconclusive"}
    assert {task["name"] for task in candidate["tasks"]} == {
        "eps-extraction",
        "sentiment-analysis",
        "revenue-analysis",
    }
    for task in candidate["tasks"]:
        assert float(task["lower"]) <= float(task["delta"]) <= float(task["upper"])
        assert task["n"] == 4
    report = finished.volume("artifacts") / status["report"]["path"]
    assert candidate["verdict"] in report.read_text()
    kept = finished.get("configmap", status["reportConfigMap"])
    assert kept is not None
    page = gzip.decompress(base64.b64decode(kept["binaryData"]["report.html.gz"])).decode()
    assert page.startswith("<!doctype html>") and candidate["verdict"] in page
    (owner,) = kept["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Comparison", "tuned-vs-base")


def test_evaluations_of_the_same_content_are_run_once(finished: Workbench) -> None:
    """The follow-up and the explicit Comparison differ in decoding only: nothing is shared between those, but a
    second Comparison with the same decoding makes no new Evaluation."""
    before = {item["metadata"]["name"] for item in finished.items("evaluations")}
    finished.apply(comparison("once-more", "tuned"))
    finished.wait_for_phase("comparison", "once-more", "Succeeded")
    assert {item["metadata"]["name"] for item in finished.items("evaluations")} == before
    shared = finished.get("evaluation", finished.status("comparison", "once-more")["baselineEvaluation"])
    assert shared is not None
    owners = {owner["name"] for owner in shared["metadata"]["ownerReferences"]}
    assert {"once-more", "tuned-vs-base"} <= owners
    assert not any(owner.get("controller") for owner in shared["metadata"]["ownerReferences"])


def test_an_evaluation_that_a_user_wrote_is_used_and_never_owned(finished: Workbench) -> None:
    base = {"baseModel": {"persistentVolumeClaim": {"claimName": "models", "path": "tiny"}}}
    decoding = {"maxNewTokens": 3}
    finished.apply(evaluation("base-only", base, decoding=decoding))
    finished.wait_for_phase("evaluation", "base-only", "Succeeded")
    finished.apply(comparison("with-mine", "tuned", decoding=decoding))
    status = finished.wait_for_phase("comparison", "with-mine", "Succeeded")
    assert status["baselineEvaluation"] == "base-only"
    mine = finished.get("evaluation", "base-only")
    assert mine is not None
    assert "ownerReferences" not in mine["metadata"]


def test_the_follow_up_comparison_belongs_to_the_job(finished: Workbench) -> None:
    job = finished.get("finetunejob", "tuned")
    assert job is not None
    follow_up = finished.get("comparison", job["status"]["fineTunedModel"])
    assert follow_up is not None
    assert follow_up["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]


def test_kubectl_get_shows_phase_scores_and_verdict(finished: Workbench) -> None:
    header, row = finished.kubectl("get", "cmp", "tuned-vs-base").splitlines()
    assert header.split()[:6] == ["NAME", "PHASE", "BASE", "TUNED", "DELTA", "VERDICT"]
    assert row.split()[1] == "Succeeded"


def test_pods_pass_the_restricted_standard_and_hold_no_token(finished: Workbench) -> None:
    pods = finished.items("pods", "app.kubernetes.io/managed-by=finetune-operator")
    assert pods
    for pod in pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert all("serviceAccount" not in json.dumps(volume) for volume in pod["spec"]["volumes"])
        container = pod["spec"]["containers"][0]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        writable = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {"artifacts", "tmp"}


def test_training_took_the_gpu_that_it_asked_for(finished: Workbench) -> None:
    (pod,) = finished.pods_of("finetunejob", "tuned", "train")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    (prepare,) = finished.pods_of("finetunejob", "tuned", "prepare")
    assert "nvidia.com/gpu" not in prepare["spec"]["containers"][0]["resources"]["limits"]


def test_the_registry_entry_shows_what_comparisons_found(finished: Workbench) -> None:
    name = finished.status("finetunejob", "tuned")["fineTunedModel"]

    def scored() -> Json | None:
        status = finished.status("finetunedmodel", name)
        named = {score["comparison"] for score in status.get("scores", [])}
        return status if {"tuned-vs-base", name} <= named else None

    status = finished.wait_until(scored, "scores of both Comparisons")
    assert status["stage"] == "Candidate"
    assert condition(finished.status("finetunejob", "tuned"), "Evaluated")["status"] == "True"


def test_a_finished_job_is_left_alone_by_metadata_changes_and_run_again_on_request(finished: Workbench) -> None:
    before = finished.status("finetunejob", "tuned")
    finished.annotate("finetunejob", "tuned", "team=research")
    finished.annotate("finetunejob", "tuned", "finetune.dev/rerun=once")

    def again() -> Json | None:
        status = finished.status("finetunejob", "tuned")
        fresh = status["run"]["digest"] != before["run"]["digest"]
        return status if fresh and status.get("phase") == "Succeeded" else None

    after = finished.wait_until(again, "the second run")
    assert [past["digest"] for past in after["history"]] == [before["run"]["digest"]]
    assert after["history"][0]["fineTunedModel"] == before["fineTunedModel"]
    assert after["fineTunedModel"] != before["fineTunedModel"]
