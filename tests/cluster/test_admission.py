"""The API server accepts good manifests, fills in their defaults, and refuses bad ones with words that help."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import served_schemas
from localcluster import Cluster

FOLDER = Path(__file__).parent / "admission"
REFUSED = sorted((FOLDER / "refused").glob("*.yaml"))
ACCEPTED = sorted((FOLDER / "accepted").glob("*.yaml"))
KINDS = ("comparison", "evaluation", "finetunedmodel", "finetunejob")


@dataclass(frozen=True)
class Remarks:
    """What the leading comment of a manifest says should happen, one `# word: value` a line."""

    lines: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, manifest: Path) -> Remarks:
        comment = re.match(r"(?:#.*\n)*", manifest.read_text())
        assert comment is not None
        pairs = [line.removeprefix("# ").split(": ", 1) for line in comment.group().splitlines()]
        return cls(tuple((word, value) for word, value in pairs))

    def all(self, word: str) -> list[str]:
        return [value for found, value in self.lines if found == word]

    def one(self, word: str) -> str:
        (value,) = self.all(word)
        return value


@pytest.fixture(scope="module")
def admission(custom_resources: Cluster) -> Iterator[str]:
    """One namespace for all manifests."""
    name = f"admission-{uuid.uuid4().hex[:8]}"
    custom_resources.kubectl("create", "namespace", name, capture_output=True)
    yield name
    custom_resources.kubectl("delete", "namespace", name, capture_output=True)


def kubectl(cluster: Cluster, namespace: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cluster.kubectl("--namespace", namespace, *arguments, check=False, capture_output=True)


def succeeds(outcome: subprocess.CompletedProcess[str]) -> str:
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def value_at(document: dict[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value[name]
    return value


@pytest.mark.parametrize("manifest", REFUSED, ids=lambda path: path.stem)
def test_a_bad_manifest_is_refused_with_words_that_help(cluster: Cluster, admission: str, manifest: Path) -> None:
    remarks = Remarks.of(manifest)
    for earlier in remarks.all("after"):
        succeeds(kubectl(cluster, admission, "apply", "-f", str(FOLDER / "accepted" / earlier)))
    outcome = kubectl(cluster, admission, "apply", "-f", str(manifest))
    assert outcome.returncode == 1, f"accepted: {outcome.stdout}"
    assert remarks.one("field") in outcome.stderr
    assert remarks.one("says") in outcome.stderr


@pytest.mark.parametrize("manifest", ACCEPTED, ids=lambda path: path.stem)
def test_a_good_manifest_is_accepted_and_its_defaults_filled_in(
    cluster: Cluster, admission: str, manifest: Path
) -> None:
    succeeds(kubectl(cluster, admission, "apply", "-f", str(manifest)))
    stored = json.loads(succeeds(kubectl(cluster, admission, "get", "-f", str(manifest), "-o", "json")))
    for expected in Remarks.of(manifest).all("default"):
        path, value = expected.split(" = ")
        assert value_at(stored, path) == json.loads(value), path


@pytest.mark.parametrize("manifest", ACCEPTED, ids=lambda path: path.stem)
def test_a_resource_that_nobody_has_looked_at_says_so(custom_resources: Cluster, manifest: Path) -> None:
    dry_run = ("create", "--dry-run=server", "-o", "json", "-f", str(manifest))
    status = json.loads(succeeds(kubectl(custom_resources, "default", *dry_run)))["status"]
    assert status["observedGeneration"] == -1
    assert "phase" not in status


@pytest.mark.parametrize("manifest", ACCEPTED, ids=lambda path: path.stem)
def test_applying_a_manifest_again_changes_nothing(cluster: Cluster, admission: str, manifest: Path) -> None:
    succeeds(kubectl(cluster, admission, "apply", "-f", str(manifest)))
    again = succeeds(kubectl(cluster, admission, "apply", "-f", str(manifest)))
    assert again.rstrip().endswith(" unchanged")


def test_every_kind_has_good_and_bad_manifests() -> None:
    for manifests in (ACCEPTED, REFUSED):
        assert {manifest.stem.split("-")[0] for manifest in manifests} == set(KINDS)


def test_a_users_status_is_not_taken_from_the_manifest(cluster: Cluster, admission: str, tmp_path: Path) -> None:
    manifest = tmp_path / "job.yaml"
    manifest.write_text(
        (FOLDER / "accepted" / "finetunejob-shortest.yaml").read_text() + "status: {phase: Succeeded}\n"
    )
    dry_run = kubectl(cluster, admission, "apply", "--dry-run=server", "-o", "json", "-f", str(manifest))
    assert json.loads(succeeds(dry_run))["status"].get("phase") != "Succeeded"


def test_every_field_of_every_kind_is_described(custom_resources: Cluster) -> None:
    described = served_schemas.described(served_schemas.published(custom_resources))
    assert {kind.lower() for kind in described} == set(KINDS)
    silent = [f"{kind}{path}" for kind, fields in described.items() for path, text in fields.items() if not text]
    assert silent == []


def test_kubectl_explain_tells_defaults_and_meaning(custom_resources: Cluster) -> None:
    explained = custom_resources.kubectl("explain", "ftj.spec.training", capture_output=True).stdout
    for words in (
        "learningRate\t<string>",
        "Highest learning rate, after warm-up; it then falls along a cosine. Default: 2e-4.",
        "microBatchSize\t<integer>",
        "must divide effectiveBatchSize",
    ):
        assert " ".join(words.split()) in " ".join(explained.split())


@pytest.mark.parametrize("short_name", ["ftj", "eval", "cmp", "ftm", "finetune"])
def test_short_names_and_the_category_work(custom_resources: Cluster, admission: str, short_name: str) -> None:
    succeeds(kubectl(custom_resources, admission, "get", short_name))
