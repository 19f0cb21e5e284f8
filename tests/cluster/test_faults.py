"""What goes wrong on a cluster, and that nothing finished is lost by it."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from graphics import all_gpus_broken

import operator_calm
from installation import OPERATOR_NAMESPACE, RELEASE, install, operator_process
from localcluster import Cluster
from manifests import comparison, examples, fine_tune_job
from workbench import Workbench, condition

LONG = {"epochs": 64, "effectiveBatchSize": 1, "checkpointEverySteps": 50}
"""Seven hundred steps of the tiny model: long enough to be interrupted, with a checkpoint every moment."""
RESTARTS: Counter[str] = Counter()
"""How often the operator should have been restarted, by its pod's uid: before these tests, and by their kills."""


@pytest.fixture(scope="module")
def bench(shared_workbench: Workbench) -> Workbench:
    RESTARTS.update(operator_calm.restarts(shared_workbench.cluster))
    shared_workbench.write("datasets", "train.jsonl", examples(12))
    return shared_workbench


def kill_the_operator(cluster: Cluster) -> None:
    """SIGKILL, as the kernel would; the kubelet starts it again."""
    RESTARTS.update(operator_calm.restarts(cluster).keys())
    os.kill(operator_process(cluster), signal.SIGKILL)


def wait_for_no_restarts_but_by_kills(bench: Workbench) -> None:
    def as_expected() -> bool:
        found = operator_calm.restarts(bench.cluster)
        return bool(found) and found == {pod: RESTARTS[pod] for pod in found}

    bench.wait_until(as_expected, f"the operator's restarts are these and no others: {dict(RESTARTS)}")


@contextmanager
def operator_down(bench: Workbench) -> Iterator[None]:
    """The operator is killed, and kept from coming back until the block ends."""
    scale = ("-n", OPERATOR_NAMESPACE, "scale", "deployment", "finetune-operator")
    wait_for_no_restarts_but_by_kills(bench)
    kill_the_operator(bench.cluster)
    bench.cluster.kubectl(*scale, "--replicas=0", capture_output=True)
    bench.wait_until(lambda: not operator_calm.operator_pods(bench.cluster), "the operator is gone")
    try:
        yield
    finally:
        bench.cluster.kubectl(*scale, "--replicas=1", capture_output=True)


def steps_of(bench: Workbench, name: str) -> list[str]:
    return sorted(job["metadata"]["labels"]["finetune.dev/step"] for job in bench.jobs_of("finetunejob", name))


def checkpoints(bench: Workbench, name: str) -> list[Path]:
    """Complete checkpoints of a job, on the volume; that of step 0 holds nothing yet."""
    job = bench.get("finetunejob", name)
    assert job is not None
    folder = bench.volume("artifacts") / bench.namespace / job["metadata"]["uid"]
    complete = (marker.parent for marker in folder.glob("*/checkpoints/*/COMPLETE"))
    return [checkpoint for checkpoint in complete if checkpoint.name != "checkpoint-0"]


def assert_like_a_run_without_faults(bench: Workbench, name: str) -> None:
    status = bench.wait_for_phase("finetunejob", name, "Succeeded")
    assert steps_of(bench, name) == ["prepare", "train"]
    models = bench.items("finetunedmodels", f"finetune.dev/owner-name={name}")
    assert [model["metadata"]["name"] for model in models] == [status["fineTunedModel"]]
    assert status["failures"] == 0


def test_the_operator_is_killed_while_prepare_is_under_way(bench: Workbench) -> None:
    bench.apply(fine_tune_job("killed-early"))
    bench.wait_until(
        lambda: bench.get("finetunejob", "killed-early") and bench.jobs_of("finetunejob", "killed-early"), "prepare"
    )
    kill_the_operator(bench.cluster)
    assert_like_a_run_without_faults(bench, "killed-early")


def test_the_operator_is_killed_while_training_is_under_way(bench: Workbench) -> None:
    bench.apply(fine_tune_job("killed-midway", training=LONG))
    bench.wait_for_phase("finetunejob", "killed-midway", "Training")
    kill_the_operator(bench.cluster)
    assert_like_a_run_without_faults(bench, "killed-midway")


def test_the_operator_is_down_when_training_ends(bench: Workbench) -> None:
    bench.apply(fine_tune_job("killed-late", training=LONG))
    bench.wait_for_phase("finetunejob", "killed-late", "Training")
    with operator_down(bench):
        (training,) = bench.jobs_of("finetunejob", "killed-late", "train")
        assert not training["status"].get("succeeded")
        bench.wait_until(
            lambda: bench.jobs_of("finetunejob", "killed-late", "train")[0]["status"].get("succeeded"),
            "the training's Job is complete",
        )
    assert_like_a_run_without_faults(bench, "killed-late")


def test_a_training_goes_on_while_the_chart_is_upgraded_and_rolled_back(bench: Workbench) -> None:
    in_release = ("--namespace", OPERATOR_NAMESPACE)
    bench.apply(fine_tune_job("upgraded", training=LONG))
    bench.wait_for_phase("finetunejob", "upgraded", "Training")
    install(bench.cluster, progressIntervalSeconds=1)
    bench.cluster.helm("rollback", RELEASE, *in_release, "--wait", "--timeout", "5m", capture_output=True)
    assert_like_a_run_without_faults(bench, "upgraded")


def test_uninstalling_the_chart_keeps_resources_and_what_was_trained(bench: Workbench) -> None:
    bench.apply(fine_tune_job("outlasting", training=LONG), fine_tune_job("deleted-meanwhile", training=LONG))
    for name in ("outlasting", "deleted-meanwhile"):
        bench.wait_for_phase("finetunejob", name, "Training")
    bench.cluster.helm("uninstall", RELEASE, "--namespace", OPERATOR_NAMESPACE, "--wait", capture_output=True)
    try:
        bench.delete("finetunejob", "deleted-meanwhile", wait=True)
        selector = "finetune.dev/owner-name=deleted-meanwhile"
        bench.wait_until(
            lambda: not bench.items("jobs", selector) and not bench.items("pods", selector), "Jobs and pods are gone"
        )
        bench.wait_until(
            lambda: bench.jobs_of("finetunejob", "outlasting", "train")[0]["status"].get("succeeded"),
            "the training's Job is complete",
        )
    finally:
        install(bench.cluster)
    assert_like_a_run_without_faults(bench, "outlasting")


def test_a_deleted_resource_leaves_no_children_also_while_the_operator_is_down(bench: Workbench) -> None:
    bench.apply(fine_tune_job("deleted-alone", training=LONG))
    bench.wait_for_phase("finetunejob", "deleted-alone", "Training")
    with operator_down(bench):
        bench.delete("finetunejob", "deleted-alone")
        selector = "finetune.dev/owner-name=deleted-alone"
        bench.wait_until(
            lambda: not bench.items("jobs", selector) and not bench.items("pods", selector), "Jobs and pods are gone"
        )
    assert bench.get("finetunejob", "deleted-alone") is None


def test_a_namesake_made_anew_shares_nothing_with_the_deleted_one(bench: Workbench) -> None:
    bench.apply(fine_tune_job("namesake"))
    first = bench.wait_for_phase("finetunejob", "namesake", "Succeeded")
    bench.delete("finetunejob", "namesake", wait=True)
    bench.apply(fine_tune_job("namesake"))
    second = bench.wait_for_phase("finetunejob", "namesake", "Succeeded")
    assert second["run"]["digest"] == first["run"]["digest"]
    assert second["fineTunedModel"] != first["fineTunedModel"]
    assert steps_of(bench, "namesake") == ["prepare", "train"]
    assert bench.get("finetunedmodel", first["fineTunedModel"]) is not None


def test_a_deleted_training_pod_comes_back_and_goes_on_from_its_checkpoint(bench: Workbench) -> None:
    bench.apply(fine_tune_job("pod-deleted", training=LONG))
    bench.wait_for_phase("finetunejob", "pod-deleted", "Training")
    bench.wait_until(lambda: checkpoints(bench, "pod-deleted"), "a checkpoint")
    (pod,) = bench.pods_of("finetunejob", "pod-deleted", "train")
    bench.delete("pod", pod["metadata"]["name"])
    bench.wait_for_phase("finetunejob", "pod-deleted", "Succeeded")
    successor = next(
        item
        for item in bench.pods_of("finetunejob", "pod-deleted", "train")
        if item["metadata"]["uid"] != pod["metadata"]["uid"]
    )
    assert "training on from step" in bench.kubectl("logs", successor["metadata"]["name"])


def test_a_pod_killed_for_host_memory_says_what_to_raise_and_goes_on_when_it_is_raised(bench: Workbench) -> None:
    bench.apply(fine_tune_job("hungry", resources={"memory": "96Mi"}))
    status = bench.wait_for_phase("finetunejob", "hungry", "Failed")
    complete = condition(status, "Complete")
    assert complete["reason"] == "HostMemoryExceeded"
    assert "spec.resources.memory" in complete["message"]
    bench.patch_spec("finetunejob", "hungry", {"resources": {"memory": "2Gi"}})
    after = bench.wait_until(
        lambda: (found := bench.status("finetunejob", "hungry")).get("phase") == "Succeeded" and found, "it goes on"
    )
    assert after["run"]["digest"] == status["run"]["digest"]
    assert steps_of(bench, "hungry") == ["prepare", "train", "train"]


def test_a_suspended_job_saves_a_checkpoint_and_goes_on_from_there(bench: Workbench) -> None:
    bench.apply(fine_tune_job("held", training=LONG))
    bench.wait_for_phase("finetunejob", "held", "Training")
    bench.wait_until(lambda: checkpoints(bench, "held"), "a checkpoint")
    bench.patch_spec("finetunejob", "held", {"suspend": True})
    bench.wait_for_phase("finetunejob", "held", "Suspended")
    bench.wait_until(
        lambda: not [p for p in bench.pods_of("finetunejob", "held", "train") if p["status"]["phase"] == "Running"],
        "the pod has ended",
    )
    assert condition(bench.status("finetunejob", "held"), "Suspended")["status"] == "True"
    bench.patch_spec("finetunejob", "held", {"suspend": False})
    status = bench.wait_for_phase("finetunejob", "held", "Succeeded")
    assert status["failures"] == 0
    assert steps_of(bench, "held") == ["prepare", "train"]


def test_a_job_that_is_suspended_from_the_start_makes_no_pod(bench: Workbench) -> None:
    bench.apply(fine_tune_job("not-yet", suspend=True))
    bench.wait_for_phase("finetunejob", "not-yet", "Suspended")
    assert bench.jobs_of("finetunejob", "not-yet") == []


def test_a_job_waits_while_no_node_has_a_gpu_and_goes_on_when_one_has(bench: Workbench) -> None:
    with all_gpus_broken(bench.cluster):
        bench.apply(fine_tune_job("no-gpu"))
        complete = bench.wait_for_reason("finetunejob", "no-gpu", "WaitingForGPU")
        assert "nvidia.com/gpu" in complete["message"]
        assert bench.status("finetunejob", "no-gpu")["phase"] == "Queued"
    bench.wait_for_phase("finetunejob", "no-gpu", "Succeeded")


def test_a_claim_that_does_not_exist_is_told_and_can_be_corrected(bench: Workbench) -> None:
    bench.apply(fine_tune_job("no-claim", artifacts={"persistentVolumeClaim": {"claimName": "nowhere"}}))
    complete = bench.wait_for_reason("finetunejob", "no-claim", "WaitingForVolume")
    assert "nowhere" in complete["message"]
    bench.patch_spec("finetunejob", "no-claim", {"artifacts": {"persistentVolumeClaim": {"claimName": "artifacts"}}})
    bench.wait_for_phase("finetunejob", "no-claim", "Succeeded")


def test_a_config_map_that_does_not_exist_is_told(bench: Workbench) -> None:
    manifest = fine_tune_job("no-map")
    bench.apply({**manifest, "spec": {**manifest["spec"], "dataset": {"configMap": {"name": "nowhere", "key": "x"}}}})
    complete = bench.wait_for_reason("finetunejob", "no-map", "WaitingForVolume")
    assert "nowhere" in complete["message"]
    bench.delete("finetunejob", "no-map")


def test_a_lost_status_costs_no_training(bench: Workbench) -> None:
    bench.apply(fine_tune_job("forgotten"))
    before = bench.wait_for_phase("finetunejob", "forgotten", "Succeeded")
    jobs = {job["metadata"]["uid"] for job in bench.jobs_of("finetunejob", "forgotten")}
    bench.wipe_status("finetunejob", "forgotten")
    after = bench.wait_for_phase("finetunejob", "forgotten", "Succeeded")
    assert {job["metadata"]["uid"] for job in bench.jobs_of("finetunejob", "forgotten")} == jobs
    for field in ("training", "dataset", "plan", "fineTunedModel", "baseModelDigest"):
        assert after[field] == before[field]


def test_a_result_is_found_again_on_the_volume_when_status_and_children_are_lost(bench: Workbench) -> None:
    bench.apply(fine_tune_job("erased"))
    before = bench.wait_for_phase("finetunejob", "erased", "Succeeded")
    with operator_down(bench):
        bench.kubectl("delete", "jobs", "-l", "finetune.dev/owner-name=erased", "--cascade=foreground", "--wait=true")
        bench.wipe_status("finetunejob", "erased")
    after = bench.wait_for_phase("finetunejob", "erased", "Succeeded")
    assert steps_of(bench, "erased") == ["prepare"]
    assert after["training"] == before["training"]
    assert after["fineTunedModel"] == before["fineTunedModel"]


def test_ended_jobs_go_after_their_time_to_live_and_what_was_made_stays(bench: Workbench) -> None:
    bench.apply(fine_tune_job("expiring", ttlSecondsAfterFinished=0))
    before = bench.wait_for_phase("finetunejob", "expiring", "Succeeded")
    bench.wait_until(lambda: not bench.jobs_of("finetunejob", "expiring"), "the Jobs are gone")
    operator_calm.wait_until_it_stands_still(bench)
    assert not bench.jobs_of("finetunejob", "expiring")
    assert bench.status("finetunejob", "expiring")["phase"] == "Succeeded"
    assert bench.get("finetunedmodel", before["fineTunedModel"]) is not None


def test_jobs_whose_owner_was_taken_away_are_given_it_back(bench: Workbench) -> None:
    bench.apply(fine_tune_job("disowned"))
    bench.wait_for_phase("finetunejob", "disowned", "Succeeded")
    removal = json.dumps([{"op": "remove", "path": "/metadata/ownerReferences"}])
    for job in bench.jobs_of("finetunejob", "disowned"):
        bench.kubectl("patch", "job", job["metadata"]["name"], "--type=json", "-p", removal)
    bench.wait_until(
        lambda: all(job["metadata"].get("ownerReferences") for job in bench.jobs_of("finetunejob", "disowned")),
        "owners",
    )
    bench.delete("finetunejob", "disowned")
    gone = "finetune.dev/owner-name=disowned"
    bench.wait_until(lambda: not bench.items("jobs", gone), "the Jobs go with their owner")


@contextmanager
def small_artifacts_volume(bench: Workbench, size: str) -> Iterator[Path]:
    """A volume of that size over the claim's folder, until the block ends; as its path is seen from this machine."""
    claim = bench.volume("artifacts")
    options = f"size={size},uid=65532,gid=65532,mode=2775"
    bench.cluster.run_in_node("/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(claim), check=True)
    try:
        yield Path(f"/proc/{bench.cluster.node.pid}/root{claim}")
    finally:
        bench.cluster.run_in_node("/bin/umount", "-l", str(claim), check=True)


def test_a_full_artifacts_volume_is_told_and_the_job_goes_on_when_there_is_room(bench: Workbench) -> None:
    with small_artifacts_volume(bench, "64k"):
        bench.apply(fine_tune_job("no-room", retry={"limit": 10, "backoffSeconds": 1}))
        complete = bench.wait_for_reason("finetunejob", "no-room", "StorageFull")
        assert "artifacts" in complete["message"]
        bench.wait_until(
            lambda: (
                not [p for p in bench.pods_of("finetunejob", "no-room", "prepare") if p["status"]["phase"] == "Running"]
            ),
            "no pod writes",
        )
    bench.wait_for_phase("finetunejob", "no-room", "Succeeded")


def fill(volume: Path) -> None:
    """To the last byte; whatever became free since the last time too."""
    with suppress(OSError), (volume / "filler").open("ab", buffering=0) as filler:
        while filler.write(bytes(2**16)):
            pass


def test_a_volume_that_fills_up_while_a_checkpoint_is_written_costs_no_earlier_checkpoint(bench: Workbench) -> None:
    with small_artifacts_volume(bench, "64m") as volume:
        bench.apply(fine_tune_job("filled-up", training=LONG, retry={"limit": 10, "backoffSeconds": 1}))

        def sealed() -> list[int]:
            """Steps; at step 0 nothing had been learnt."""
            finished = volume.glob("*/*/*/checkpoints/checkpoint-*/COMPLETE")
            steps = [int(marker.parent.name.removeprefix("checkpoint-")) for marker in finished]
            return [step for step in steps if step > 0]

        bench.wait_until(sealed, "a checkpoint")

        def told() -> str | None:
            fill(volume)
            complete = condition(bench.status("finetunejob", "filled-up"), "Complete")
            return complete["message"] if complete.get("reason") == "StorageFull" else None

        assert "artifacts" in bench.wait_until(told, "StorageFull")
        kept = max(sealed())
        (volume / "filler").unlink()
        bench.wait_for_phase("finetunejob", "filled-up", "Succeeded")
        logs = [
            bench.kubectl("logs", pod["metadata"]["name"]) for pod in bench.pods_of("finetunejob", "filled-up", "train")
        ]
        assert any(f"training on from step {kept}" in log for log in logs)


def test_a_change_of_the_spec_while_a_run_is_going_on_waits_for_its_end(bench: Workbench) -> None:
    bench.apply(fine_tune_job("edited", training=LONG))
    bench.wait_for_phase("finetunejob", "edited", "Training")
    first = bench.status("finetunejob", "edited")["run"]["digest"]
    bench.patch_spec("finetunejob", "edited", {"training": {"seed": 7}})
    bench.wait_for_reason("finetunejob", "edited", "SpecChangePending")
    assert bench.status("finetunejob", "edited")["run"]["digest"] == first

    def second_run() -> bool:
        status = bench.status("finetunejob", "edited")
        return bool(status.get("history")) and status["history"][0]["digest"] == first

    bench.wait_until(second_run, "the second run begins when the first has ended")
    bench.delete("finetunejob", "edited")


def test_an_evaluation_goes_on_when_its_pod_is_deleted(bench: Workbench) -> None:
    suite = {"builtin": "finance", "limitPerTask": 60}
    bench.apply(fine_tune_job("to-score"), comparison("to-score", "to-score", suite=suite))
    bench.wait_for_phase("comparison", "to-score", "Evaluating")
    name = bench.status("comparison", "to-score")["baselineEvaluation"]
    bench.wait_for_phase("evaluation", name, "Evaluating")
    (pod,) = bench.pods_of("evaluation", name, "evaluate")
    bench.delete("pod", pod["metadata"]["name"])
    bench.wait_for_phase("evaluation", name, "Succeeded", seconds=300)
    uids = {item["metadata"]["uid"] for item in bench.pods_of("evaluation", name, "evaluate")}
    assert uids - {pod["metadata"]["uid"]}, "another pod did the work"
    assert bench.status("evaluation", name)["failures"] == 0
    bench.wait_for_phase("comparison", "to-score", "Succeeded", seconds=300)


def test_faults_make_the_operator_restart_only_by_kills_and_lasting_ones_do_not_make_it_spin(bench: Workbench) -> None:
    lasting = {
        "never-a-gpu": (fine_tune_job("never-a-gpu"), "WaitingForGPU"),
        "never-a-claim": (
            fine_tune_job("never-a-claim", artifacts={"persistentVolumeClaim": {"claimName": "nowhere"}}),
            "WaitingForVolume",
        ),
        "always-hungry": (
            fine_tune_job("always-hungry", resources={"gpus": 0, "memory": "96Mi"}),
            "HostMemoryExceeded",
        ),
    }
    with all_gpus_broken(bench.cluster):
        bench.apply(*(manifest for manifest, _ in lasting.values()))
        for name, (_, reason) in lasting.items():
            bench.wait_for_reason("finetunejob", name, reason)
        operator_calm.wait_until_it_stands_still(bench)
        wait_for_no_restarts_but_by_kills(bench)
        for name in lasting:
            bench.delete("finetunejob", name)
