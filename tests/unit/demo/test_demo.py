"""What `make demo` does on a cluster, told by a kubectl that answers from files and notes what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import run as demo_run

from clusters import DEFINITION, NAMESPACE, RELEASE, Demo, checked_registry, require_claims, require_no_other_release
from localcluster.errors import ClusterError
from table import print_table

KUBECTL = """#!/bin/sh
# kubectl --kubeconfig FILE -n NAMESPACE VERB ...: the answer of the n-th call is in answers/<n>, the last one stays.
cd "$(dirname "$0")"
shift 4
echo "$@" >> asked
count=$(wc -l < asked)
test -e "answers/$count" || count=$(ls answers | grep -v fails | sort -n | tail -1)
if test -e "answers/$count.fails"; then echo "no route to host" >&2; exit 1; fi
cat "answers/$count"
"""
Json = Mapping[str, Any]


class Told:
    """A Demo whose kubectl gives these answers, one a call."""

    def __init__(self, folder: Path, answers: list[Json | str | None]) -> None:
        self.folder = folder
        (folder / "answers").mkdir()
        for number, answer in enumerate(answers, start=1):
            text = answer if isinstance(answer, str) else json.dumps(answer) if answer else ""
            (folder / "answers" / str(number)).write_text(text)
            if answer == "fails":
                (folder / "answers" / f"{number}.fails").touch()
        kubectl = folder / "kubectl"
        kubectl.write_text(KUBECTL)
        kubectl.chmod(0o755)
        self.demo = Demo(kubectl, folder / "helm", folder / "kubeconfig", {}, operator_namespace=NAMESPACE)

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    monkeypatch.setattr(demo_run, "FOLLOW_SECONDS", 0.0)
    return lambda *answers: Told(tmp_path, list(answers))


def resource(phase: str, *, generation: int = 1, observed: int = 1, **status: Any) -> Json:
    return {
        "metadata": {"generation": generation},
        "status": {"observedGeneration": observed, "phase": phase, **status},
    }


def job(phase: str, run: str = "new", **arguments: Any) -> Json:
    return resource(phase, run={"digest": run}, **arguments)


def comparison(phase: str, run: str = "new", **arguments: Any) -> Json:
    return resource(phase, candidates=[{"fineTuneJob": demo_run.JOB, "run": run}], **arguments)


def test_it_ends_with_the_comparison_of_what_is_applied(told: Callable[..., Told]) -> None:
    there = told(job("Training"), comparison("Pending"), job("Succeeded"), comparison("Succeeded"))
    assert demo_run.follow(there.demo) == comparison("Succeeded")


def test_an_old_verdict_is_not_taken_while_a_new_training_runs(told: Callable[..., Told]) -> None:
    there = told(
        job("Succeeded", "old", generation=2), comparison("Succeeded", "old"),
        job("Training", generation=2, observed=2), comparison("Succeeded", "old"),
        job("Succeeded", generation=2, observed=2), comparison("Succeeded", "old"), "annotated",
        job("Succeeded", generation=2, observed=2), comparison("Succeeded"),
    )  # fmt: skip
    assert demo_run.follow(there.demo) == comparison("Succeeded")
    assert there.asked[6] == f"annotate comparison {demo_run.COMPARISON} finetune.dev/rerun=new --overwrite"


def test_what_was_done_earlier_is_said_to_be(told: Callable[..., Told], capsys: pytest.CaptureFixture[str]) -> None:
    demo_run.follow(told(job("Succeeded"), comparison("Succeeded")).demo)
    said = capsys.readouterr()
    assert "nothing was run anew" in said.out + said.err


@pytest.mark.parametrize("kind", ["FineTuneJob", "Comparison"])
def test_a_failure_ends_it_with_the_words_of_the_status(told: Callable[..., Told], kind: str) -> None:
    why = {"conditions": [{"type": "Complete", "reason": "DatasetInvalid", "message": "line 2"}]}
    failed = resource("Failed", run={"digest": "new"}, **why)
    answers = (failed, comparison("Pending")) if kind == "FineTuneJob" else (job("Succeeded"), failed)
    with pytest.raises(ClusterError, match=f"{kind} failed: line 2"):
        demo_run.follow(told(*answers).demo)


def test_failed_looks_are_told_and_are_not_the_end(
    told: Callable[..., Told], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo_run.follow(told("fails", "fails", job("Succeeded"), comparison("Succeeded")).demo)
    said = capsys.readouterr().err
    for look in ("look 1 of", "look 2 of"):
        assert look in said
    assert "no route to host" in said


def test_what_goes_on_unchanged_is_said_again_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heartbeat, clock = demo_run.Heartbeat(), iter(range(100, 112, 2))
    monkeypatch.setattr(demo_run.time, "monotonic", lambda: next(clock))
    for _ in range(6):
        heartbeat.tell("Training")
    assert capsys.readouterr().err.count("Training") == 2


def test_a_cluster_that_does_not_answer_ends_it(told: Callable[..., Told]) -> None:
    with pytest.raises(ClusterError, match="no route to host"):
        demo_run.follow(told("fails").demo)


def test_a_claim_that_is_missing_is_named(told: Callable[..., Told]) -> None:
    with pytest.raises(ClusterError, match="PersistentVolumeClaim artifacts"):
        require_claims(told("active", {"kind": "PersistentVolumeClaim"}, None).demo)


def definition(**annotations: str) -> Json:
    return {"metadata": {"name": DEFINITION, "annotations": annotations}}


def of_release(name: str, namespace: str) -> Json:
    return definition(**{"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace})


@pytest.mark.parametrize(
    ("there", "words"),
    [(of_release("ours", "finetune-system"), "release ours in namespace finetune-system"), (definition(), "by hand")],
)
def test_an_operator_that_others_use_is_not_replaced(told: Callable[..., Told], there: Json, words: str) -> None:
    with pytest.raises(ClusterError, match=words):
        require_no_other_release(told(there).demo)


@pytest.mark.parametrize("there", [None, of_release(RELEASE, NAMESPACE)])
def test_a_cluster_without_operator_or_with_the_demos_own_will_do(
    told: Callable[..., Told], there: Json | None
) -> None:
    require_no_other_release(told(there).demo)


@pytest.mark.parametrize("registry", ["registry.example/team", "127.0.0.1:5000/finetune", "registry.example"])
def test_a_registry_is_a_host_and_a_prefix(registry: str) -> None:
    assert checked_registry(registry) == registry


@pytest.mark.parametrize("registry", [None, "", "https://registry.example/team", "registry.example/team/", "a b/c"])
def test_another_form_of_registry_is_refused_before_anything_is_built(registry: str | None) -> None:
    with pytest.raises(ClusterError, match="host/prefix"):
        checked_registry(registry)


def test_the_table_tells_tasks_overall_cost_and_the_gates_that_held_it_back(capsys: pytest.CaptureFixture[str]) -> None:
    effect = {"base": "0.1000", "tuned": "0.4000", "delta": "+0.3000", "deltaPercent": "+300.0"}
    effect |= {"lower": "+0.2000", "upper": "+0.4000", "p": "0.0001", "pHolm": "0.0003", "n": "200"}
    gate = {"gate": "mustNotRegress", "task": "perplexity", "passed": False, "bound": "-0.0400", "limit": "-0.0300"}
    candidate = {"tasks": [{"title": "EPS extraction", **effect}], "overall": effect, "verdict": "Improved"}
    candidate |= {"cost": {"trainingHours": "0.05", "energyNote": "not measured: no GPU"}, "gates": [gate]}
    print_table({"status": {"candidates": [candidate]}})
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].split() == ["base", "fine-tuned", "delta", "95%", "interval", "p", "(Holm)", "n"]
    row = "EPS extraction 0.1000 0.4000 +0.3000 (+300.0%) [+0.2000,+0.4000] 0.0003 200"
    assert " ".join(lines[1].split()) == row
    assert lines[3].startswith("p of the tasks is adjusted") and "overall score is the one primary test" in lines[3]
    assert lines[4] == "training time 3.0 min · energy not measured: no GPU · verdict Improved"
    assert lines[5] == "gate not passed: mustNotRegress perplexity (lower bound -0.0400, limit -0.0300)"
