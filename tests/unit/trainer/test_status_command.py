"""`finetune status`: the queue as one namespace may see it, from kubectl or from a file."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.__main__ import main

Raw = dict[str, Any]
CLAIM = {"persistentVolumeClaim": {"claimName": "models", "path": "llama"}}
PLAN = {
    "method": "lora",
    "quantization": "none",
    "precision": "bfloat16",
    "microBatchSize": 1,
    "gradientAccumulation": 16,
    "steps": 100,
    "stepsPerEpoch": 100,
    "hours": "2.0",
}


def at(hour: int) -> str:
    return f"2026-01-02T{hour:02}:00:00Z"


def job(name: str, namespace: str = "research", phase: str = "Queued", **more: Any) -> Raw:
    scheduled = {
        "type": "Scheduled",
        "status": "False",
        "reason": "WaitingForGPU" if phase == "Queued" else "Running",
        "message": "",
        "lastTransitionTime": at(9),
    }
    spec = {"baseModel": CLAIM, "dataset": CLAIM, **more.pop("spec", {})}
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"},
        "spec": spec,
        "status": {"phase": phase, "conditions": [scheduled], "plan": PLAN, **more},
    }


def labels(name: str) -> Raw:
    return {
        "app.kubernetes.io/managed-by": "finetune-operator",
        "finetune.dev/owner-uid": f"uid-{name}",
        "finetune.dev/step": "train",
    }


def pod(name: str, hour: int, priority: int = 0) -> Raw:
    metadata = {"name": f"{name}-1", "namespace": "x", "creationTimestamp": at(hour), "labels": labels(name)}
    return {"kind": "Pod", "metadata": metadata, "spec": {"priority": priority}, "status": {"phase": "Pending"}}


RUNNING = job("busy", "risk", "Training", progress={"percentage": 50, "step": 50, "steps": 100, "eta": "1h0m"})
EVERYTHING = [
    RUNNING,
    job("old"),
    job("urgent"),
    job("secret-plans", "risk"),
    pod("old", 1),
    pod("secret-plans", 2, priority=5),
    pod("urgent", 3, priority=100),
]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "everything.json"
    path.write_text(json.dumps({"kind": "List", "items": EVERYTHING}))
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["status", *arguments]) == 0
    return capsys.readouterr().out


def test_who_waits_is_told_with_those_in_front(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(told(capsys, "-n", "research", "--from", str(listed), "-o", "json"))
    first, second = answer["waiting"]
    assert (first["name"], first["position"], first["priority"], first["inFront"]) == ("urgent", 1, 100, [])
    assert (second["name"], second["position"], second["since"]) == ("old", 3, at(1))
    assert (second["inFront"], second["podsAhead"], second["podsAheadElsewhere"]) == (["FineTuneJob/urgent"], 1, 1)
    assert [item["startsInSeconds"] for item in answer["waiting"]] == [3600, 3600 * 5]
    assert answer["waitingElsewhere"] == 1


def test_names_of_other_namespaces_are_not_told(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "table"):
        text = told(capsys, "-n", "research", "--from", str(listed), "-o", form)
        assert "secret-plans" not in text
        assert "busy" not in text


def test_the_table_is_for_people(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, first, second, elsewhere = told(capsys, "-n", "research", "--from", str(listed)).splitlines()
    assert header.split("  ")[0] == "PLACE"
    assert first.startswith("1      FineTuneJob/urgent")
    assert "FineTuneJob/urgent, 1 elsewhere" in second
    assert second.endswith("5h0m")
    assert elsewhere == "waiting in other namespaces: 1"


def test_one_resource_can_be_asked_about(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(told(capsys, "old", "-n", "research", "--from", str(listed), "-o", "json"))
    assert [(item["name"], item["inFront"]) for item in answer["waiting"]] == [("old", ["FineTuneJob/urgent"])]


def test_a_start_that_nothing_tells_is_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "alone.json"
    path.write_text(json.dumps(job("alone")))
    (entry,) = json.loads(told(capsys, "-n", "research", "--from", str(path), "-o", "json"))["waiting"]
    assert (entry["startsInSeconds"], entry["priority"], entry["since"]) == (None, 0, at(9))
    assert told(capsys, "-n", "research", "--from", str(path)).splitlines()[1].endswith("not known")


def test_a_namespace_where_nothing_waits_says_so(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "-n", "empty", "--from", str(listed))
    assert text == "nothing of namespace empty waits for GPUs\nwaiting in other namespaces: 3\n"


def test_kueues_workloads_tell_priority_and_age_of_what_waits_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = {"kind": "Job", "metadata": {"name": "x", "uid": "uid-of-job", "labels": labels("queued")}}
    owner = {"kind": "Job", "name": "x", "uid": "uid-of-job"}
    metadata = {"name": "w", "creationTimestamp": at(4), "ownerReferences": [owner]}
    workload = {"kind": "Workload", "metadata": metadata, "spec": {"priority": 7}}
    path = tmp_path / "kueue.json"
    path.write_text(json.dumps({"items": [job("queued", spec={"queueName": "team"}), held, workload]}))
    (entry,) = json.loads(told(capsys, "-n", "research", "--from", str(path), "-o", "json"))["waiting"]
    assert (entry["lane"], entry["priority"], entry["since"]) == ("kueue", 7, at(4))


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strange = job("strange", spec={"dataset": 7})
    path = tmp_path / "strange.json"
    path.write_text(json.dumps({"items": [strange, job("old")]}))
    answer = json.loads(told(capsys, "-n", "research", "--from", str(path), "-o", "json"))
    assert [item["name"] for item in answer["waiting"]] == ["old"]
    (note,) = answer["notes"]
    assert "strange" in note


def test_a_file_can_come_through_a_pipe(
    listed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(listed.read_text()))
    assert "FineTuneJob/old" in told(capsys, "-n", "research", "--from", "-")


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        ("{}", ["-n", "x"], "something else than Kubernetes objects"),
        ("a: [", ["-n", "x"], "cannot be read"),
        ("{}", [], "--namespace"),
    ],
)
def test_a_wrong_file_or_option_is_told(
    tmp_path: Path, content: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    assert main(["status", "--from", str(path), *arguments]) == 2
    assert words in capsys.readouterr().err


# With kubectl

KUBECTL = """#!/bin/sh
echo "$@" >> {folder}/asked
case "$*" in
  *config*) printf research;;
  {forbidden}) echo "Error from server (Forbidden): no" >&2; exit 1;;
  *finetunejobs*) cat {folder}/ours.json;;
  *pods*) cat {folder}/children.json;;
  *) echo "error: the server doesn't have a resource type" >&2; exit 1;;
esac
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A kubectl that answers, and is not allowed what matches a pattern."""

    def make(forbidden: str = "nothing") -> Path:
        ours = [item for item in EVERYTHING if item["kind"] != "Pod"]
        (tmp_path / "ours.json").write_text(json.dumps({"items": ours}))
        (tmp_path / "children.json").write_text(json.dumps({"items": [pod("old", 1), pod("urgent", 3, 100)]}))
        program = tmp_path / "kubectl"
        program.write_text(KUBECTL.format(folder=tmp_path, forbidden=forbidden))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "asked"

    return make


def test_kubectl_is_asked_about_its_current_namespace(kubectl: Any, capsys: pytest.CaptureFixture[str]) -> None:
    asked = kubectl()
    answer = json.loads(told(capsys, "-o", "json"))
    assert answer["namespace"] == "research"
    assert [item["name"] for item in answer["waiting"]] == ["urgent", "old"]
    assert (answer["waitingElsewhere"], answer["notes"]) == (1, [])
    assert not any("secret" in line or "workloads" in line for line in asked.read_text().splitlines())


def test_who_may_not_look_elsewhere_is_told_of_his_own_namespace(
    kubectl: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = kubectl(forbidden="*--all-namespaces*")
    answer = json.loads(told(capsys, "-n", "research", "-o", "json"))
    assert [item["name"] for item in answer["waiting"]] == ["urgent", "old"]
    assert answer["waitingElsewhere"] is None
    assert {item["podsAheadElsewhere"] for item in answer["waiting"]} == {None}
    assert any("other namespaces" in note for note in answer["notes"])
    assert "--namespace research" in asked.read_text().splitlines()[-1]


def test_without_pods_the_order_is_that_of_age_and_that_is_told(
    kubectl: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl(forbidden="*pods*")
    answer = json.loads(told(capsys, "-o", "json"))
    assert [item["priority"] for item in answer["waiting"]] == [0, 0]
    assert any("pods" in note for note in answer["notes"])


def test_what_kubectl_says_is_passed_on_when_nothing_can_be_read(
    kubectl: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl(forbidden="*get*")
    assert main(["status"]) == 2
    assert "Forbidden" in capsys.readouterr().err


def test_without_kubectl_a_file_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["status"]) == 2
    assert "--from" in capsys.readouterr().err
