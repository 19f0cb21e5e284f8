"""Each kind of user error ends in a condition whose message says what to do, and in nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import operator_calm
from localcluster import Cluster
from manifests import comparison, examples, fine_tune_job
from workbench import Workbench, condition

GOOD = '{"instruction": "a?", "input": "b", "output": "c"}'


def dataset(*lines: str) -> Callable[[Workbench, str], None]:
    def make(bench: Workbench, name: str) -> None:
        bench.write("datasets", f"{name}.jsonl", lines)
        bench.apply(fine_tune_job(name, dataset=f"{name}.jsonl"))

    return make


def _without_weights(bench: Workbench, name: str) -> None:
    folder = bench.volume("models") / name
    folder.mkdir()
    for file in (bench.volume("models") / "tiny").iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    bench.apply(fine_tune_job(name, model=name))


def _pickle_only(bench: Workbench, name: str) -> None:
    _without_weights(bench, name)
    (bench.volume("models") / name / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")


def _link_out_of_the_volume(bench: Workbench, name: str) -> None:
    (bench.volume("datasets") / f"{name}.jsonl").symlink_to("/etc/hostname")
    bench.apply(fine_tune_job(name, dataset=f"{name}.jsonl"))


Maker = Callable[[Workbench, str], None]
MISTAKES: dict[str, tuple[Maker, str, tuple[str, ...]]] = {
    "empty-dataset": (dataset(), "DatasetInvalid", ("empty",)),
    "broken-json": (dataset(GOOD, '{"instruction": "a"'), "DatasetInvalid", ("line 2", "JSON")),
    "missing-keys": (dataset(GOOD, '{"instruction": "a"}'), "DatasetInvalid", ("line 2", "output")),
    "empty-target": (dataset(GOOD, '{"instruction": "a", "input": "", "output": ""}'), "DatasetInvalid", ("line 2",)),
    "number-as-text": (dataset(GOOD, '{"instruction": "a", "input": "b", "output": 7}'), "DatasetInvalid", ("line 2",)),
    "no-such-dataset": (
        lambda bench, name: bench.apply(fine_tune_job(name, dataset="nowhere.jsonl")),
        "DatasetInvalid",
        ("spec.dataset", "nowhere.jsonl"),
    ),
    "no-such-model": (
        lambda bench, name: bench.apply(fine_tune_job(name, model="nowhere")),
        "ModelInvalid",
        ("spec.baseModel", "nowhere"),
    ),
    "model-without-weights": (_without_weights, "ModelInvalid", ("safetensors",)),
    "pickle-only": (_pickle_only, "ModelInvalid", ("safetensors",)),
    "link-out-of-the-volume": (_link_out_of_the_volume, "DatasetInvalid", ("spec.dataset",)),
    "unknown-target-module": (
        lambda bench, name: bench.apply(fine_tune_job(name, lora={"targetModules": ["nothing_proj"]})),
        "OrderInvalid",
        ("nothing_proj", "q_proj"),
    ),
}


@pytest.fixture(scope="module")
def restarts_before(operator: Cluster) -> dict[str, int]:
    return operator_calm.restarts(operator)


@pytest.fixture(scope="module")
def mistaken(restarts_before: dict[str, int], shared_workbench: Workbench) -> Workbench:
    """All mistakes at once: their prepare pods run side by side."""
    shared_workbench.write("datasets", "train.jsonl", examples(12))
    for name, (make, _, _) in MISTAKES.items():
        make(shared_workbench, name)
    return shared_workbench


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_a_reason_and_a_message_that_names_it(mistaken: Workbench, name: str) -> None:
    _, reason, words = MISTAKES[name]
    status = mistaken.wait_for_phase("finetunejob", name, "Failed")
    complete = condition(status, "Complete")
    assert complete["reason"] == reason, complete["message"]
    for word in words:
        assert word in complete["message"]
    assert condition(status, "Stalled")["status"] == "True"


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_not_tried_again_and_asks_for_no_gpu(mistaken: Workbench, name: str) -> None:
    mistaken.wait_for_phase("finetunejob", name, "Failed")
    steps = [job["metadata"]["labels"]["finetune.dev/step"] for job in mistaken.jobs_of("finetunejob", name)]
    assert steps == ["prepare"]


def test_fifty_bad_lines_are_counted_and_the_first_five_shown(mistaken: Workbench) -> None:
    mistaken.write("datasets", "many.jsonl", [GOOD, *("{" for _ in range(60))])
    mistaken.apply(fine_tune_job("many-bad-lines", dataset="many.jsonl"))
    status = mistaken.wait_for_phase("finetunejob", "many-bad-lines", "Failed")
    message = condition(status, "Complete")["message"]
    assert message.count("line ") >= 5
    assert "60" in message
    assert "line 7" not in message
    (pod,) = mistaken.pods_of("finetunejob", "many-bad-lines", "prepare")
    log = mistaken.kubectl("logs", pod["metadata"]["name"])
    problems = [line for line in log.splitlines() if '"problem"' in line]
    assert len(problems) == 50
    job = mistaken.get("finetunejob", "many-bad-lines")
    assert job is not None
    folder = mistaken.volume("artifacts") / mistaken.namespace / job["metadata"]["uid"]
    (report,) = folder.rglob("prepare-errors.jsonl")
    assert len(report.read_text().splitlines()) == 60


def test_a_comparison_of_a_job_that_does_not_exist_waits_and_says_so(mistaken: Workbench) -> None:
    mistaken.apply(comparison("of-nobody", "nobody"))
    complete = mistaken.wait_for_reason("comparison", "of-nobody", "WaitingForCandidate")
    assert "nobody does not exist" in complete["message"]
    assert mistaken.status("comparison", "of-nobody")["phase"] == "Pending"


def test_a_comparison_of_a_failed_job_fails_and_says_why(mistaken: Workbench) -> None:
    mistaken.apply(comparison("of-failed", "no-such-dataset"))
    status = mistaken.wait_for_phase("comparison", "of-failed", "Failed")
    complete = condition(status, "Complete")
    assert complete["reason"] == "CandidateFailed"
    assert "nowhere.jsonl" in complete["message"]


def test_a_comparison_whose_job_is_deleted_midway_fails_and_says_so(mistaken: Workbench) -> None:
    mistaken.apply(fine_tune_job("short-lived", suspend=True), comparison("of-short-lived", "short-lived"))
    complete = mistaken.wait_for_reason("comparison", "of-short-lived", "WaitingForCandidate")
    mistaken.wait_until(
        lambda: mistaken.status("comparison", "of-short-lived").get("candidates"), "the candidate was seen"
    )
    assert "Suspended" in complete["message"] or "new" in complete["message"]
    mistaken.delete("finetunejob", "short-lived")
    status = mistaken.wait_for_phase("comparison", "of-short-lived", "Failed")
    assert condition(status, "Complete")["reason"] == "CandidateDeleted"


def test_a_gate_on_a_task_that_the_suite_does_not_have_is_refused_before_any_work(trained: Workbench) -> None:
    trained.apply(comparison("bad-gate", "trained", gate={"mustNotRegress": ["weather"]}))
    status = trained.wait_for_phase("comparison", "bad-gate", "Failed")
    complete = condition(status, "Complete")
    assert complete["reason"] == "SuiteInvalid"
    assert "weather" in complete["message"]
    assert "eps-extraction" in complete["message"]


def test_a_suite_whose_task_has_no_examples_is_refused(trained: Workbench) -> None:
    suite = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "broken-suite"},
        "data": {
            "suite.yaml": json.dumps(
                {
                    "name": "broken",
                    "version": "1",
                    "title": "broken",
                    "tasks": [
                        {
                            "name": "eps",
                            "title": "EPS",
                            "scorer": {"kind": "number"},
                            "maxNewTokens": 8,
                            "examples": "missing.jsonl",
                        }
                    ],
                }
            )
        },
    }
    trained.apply(suite, comparison("bad-suite", "trained", suite={"configMap": {"name": "broken-suite"}}))
    status = trained.wait_for_phase("comparison", "bad-suite", "Failed")
    complete = condition(status, "Complete")
    assert complete["reason"] == "SuiteInvalid"
    assert "missing.jsonl" in complete["message"]


def test_mistakes_make_the_operator_neither_restart_nor_spin(
    mistaken: Workbench, restarts_before: dict[str, int]
) -> None:
    for name in MISTAKES:
        mistaken.wait_for_phase("finetunejob", name, "Failed")
    operator_calm.wait_until_it_stands_still(mistaken)
    assert operator_calm.restarts(mistaken.cluster) == restarts_before
