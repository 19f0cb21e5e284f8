"""From an earlier commit to this checkout and back, by helm, while trainings are under way."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import operator_calm
from base_models import tiny_model_folder
from installation import OPERATOR_NAMESPACE, RELEASE, install
from localcluster import Cluster, load
from localcluster.images import ImageBuilder, Target
from localcluster.locations import Cache, Checkout
from manifests import comparison, examples, fine_tune_job
from workbench import Json, Workbench

LONG = {"epochs": 400, "checkpointEverySteps": 50}
KINDS = ("finetunejobs", "evaluations", "comparisons", "finetunedmodels")


@dataclass(frozen=True)
class Version:
    """What an administrator installs."""

    root: Path
    images: Mapping[str, str]

    def install(self, cluster: Cluster) -> None:
        install(cluster, self.root / "helm" / "finetune-operator", self.images)


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return load()


@pytest.fixture(scope="module")
def earlier(cluster: Cluster) -> Iterator[Version]:
    """The commit that FROM names, with images that are built from it."""
    root = cluster.checkout.root / "build" / "earlier"
    _git(cluster, "worktree", "add", "--force", "--detach", str(root), os.environ["FROM"])
    try:
        built = ImageBuilder(Checkout(root), Cache.of_user()).build_and_store(list(Target))
        yield Version(root, {image.target: image.reference for image in built})
    finally:
        _git(cluster, "worktree", "remove", "--force", str(root))


def _git(cluster: Cluster, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(cluster.checkout.root), *arguments], check=True)


@pytest.fixture(scope="module")
def bench(cluster: Cluster, earlier: Version) -> Iterator[Workbench]:
    """A namespace with finished work of the earlier version, which is installed."""
    earlier.install(cluster)
    name = f"upgrade-{uuid.uuid4().hex[:8]}"
    cluster.create_namespace(name)
    bench = Workbench(cluster, name)
    bench.copy_model(tiny_model_folder(cluster), "tiny")
    bench.write("datasets", "train.jsonl", examples(24))
    few = {"builtin": "finance", "limitPerTask": 2}
    bench.apply(fine_tune_job("finished"), comparison("finished", "finished", suite=few))
    bench.wait_for_phase("comparison", "finished", "Succeeded", seconds=300)
    yield bench
    cluster.delete_namespace(name)


def finished_work(bench: Workbench) -> tuple[Json, Json, set[str]]:
    """What the earlier version finished: its statuses and its children."""
    selector = "finetune.dev/owner-name=finished"
    children = {
        child["metadata"]["uid"] for kind in ("jobs", "finetunedmodels") for child in bench.items(kind, selector)
    }
    return bench.status("finetunejob", "finished"), bench.status("comparison", "finished"), children


def under_way(bench: Workbench, name: str) -> None:
    bench.apply(fine_tune_job(name, training=LONG))
    bench.wait_for_phase("finetunejob", name, "Training")


def assert_never_begun_again(bench: Workbench, name: str) -> None:
    assert bench.wait_for_phase("finetunejob", name, "Succeeded", seconds=300)["failures"] == 0
    steps = [job["metadata"]["labels"]["finetune.dev/step"] for job in bench.jobs_of("finetunejob", name)]
    assert sorted(steps) == ["prepare", "train"]
    assert len(bench.pods_of("finetunejob", name, "train")) == 1


def test_trainings_go_on_through_an_upgrade_and_a_rollback_and_finished_work_is_left_alone(bench: Workbench) -> None:
    before = finished_work(bench)
    under_way(bench, "upgraded")
    install(bench.cluster)
    assert_never_begun_again(bench, "upgraded")
    assert finished_work(bench) == before

    under_way(bench, "rolled-back")
    back = ("rollback", RELEASE, "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "5m")
    bench.cluster.helm(*back, capture_output=True)
    assert_never_begun_again(bench, "rolled-back")
    assert finished_work(bench) == before
    assert set(operator_calm.restarts(bench.cluster).values()) == {0}
    for kind in KINDS:
        definition = json.loads(
            bench.cluster.kubectl("get", "crd", f"{kind}.finetune.dev", "-o", "json", capture_output=True).stdout
        )
        assert definition["status"]["storedVersions"] == ["v1alpha1"]
