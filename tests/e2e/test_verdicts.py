"""A real model, really fine-tuned: what is said of it must be true, whichever way it came out."""

from __future__ import annotations

import json
import random
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest

from base_models import smollm2_folder
from finetune_trainer.suites import generate
from installation import install
from localcluster import load
from manifests import comparison, fine_tune_job
from workbench import Json, Workbench, condition

MODEL = "SmolLM2-135M-Instruct"
SUITE = {"builtin": "finance", "limitPerTask": 60}
RESOURCES = {"gpus": 0, "cpu": "1800m", "memory": "6Gi"}
"""The CPU, honestly: for a GPU the plan takes bfloat16, which a CPU without instructions for it computes twenty times
slower than 32 bits."""
TRAINING_ROWS = 200
"""More than the demo has: from few shuffled answers a model learns their form, and is a little better for it."""
PATIENCE_SECONDS = 1500.0


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    """All three jobs and comparisons are applied at once; the scheduler takes them one after the other."""
    cluster = load()
    install(cluster)
    namespace = f"e2e-{uuid.uuid4().hex[:8]}"
    cluster.create_namespace(namespace)
    bench = Workbench(cluster, namespace)
    try:
        bench.copy_model(smollm2_folder(cluster), MODEL)
        rows = generate.training_rows(of_each_task=80)[:TRAINING_ROWS]
        bench.write("datasets", "train.jsonl", map(json.dumps, rows))
        bench.write("datasets", "shuffled.jsonl", map(json.dumps, with_shuffled_answers(rows)))
        bench.write("datasets", "few.jsonl", map(json.dumps, rows[:16]))
        apply_all(bench)
        yield bench
    finally:
        cluster.delete_namespace(namespace)


def with_shuffled_answers(rows: Sequence[Json]) -> list[Json]:
    """Every question gets the answer of another question of the same task: the form can be learnt, and nothing else."""
    of_task: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        of_task[row["instruction"]].append(number)
    answers = [row["output"] for row in rows]
    for numbers in of_task.values():
        drawn = [answers[number] for number in numbers]
        random.Random(5).shuffle(drawn)
        for number, answer in zip(numbers, drawn, strict=True):
            answers[number] = answer
    return [{**row, "output": answer} for row, answer in zip(rows, answers, strict=True)]


def apply_all(bench: Workbench) -> None:
    learning = {"epochs": 1, "learningRate": "1e-3", "sequenceLength": 256, "effectiveBatchSize": 8}
    nothing = {**learning, "learningRate": "1e-12"}  # an adapter that is trained and stays what it was: nothing
    bench.apply(
        job("taught", "train.jsonl", learning),
        taken_as_it_is(job("misled", "shuffled.jsonl", learning)),
        job("untouched", "few.jsonl", nothing),
        *(
            comparison(f"{name}-vs-base", name, suite=SUITE, decoding={"maxNewTokens": 16}, resources=RESOURCES)
            for name in ("taught", "misled", "untouched")
        ),
    )


def job(name: str, dataset: str, training: Json) -> Json:
    lora = {"rank": 16, "alpha": 32}
    return fine_tune_job(name, model=MODEL, dataset=dataset, training=training, resources=RESOURCES, lora=lora)


def taken_as_it_is(job: Json) -> Json:
    """prepare refuses shuffled answers, for they do not follow from their texts: here it is told not to mind."""
    dataset = {**job["spec"]["dataset"], "quality": {"maxInconsistentPercent": "100"}}
    return {**job, "spec": {**job["spec"], "dataset": dataset}}


def candidate_of(bench: Workbench, name: str) -> Json:
    status = bench.wait_for_phase("comparison", name, "Succeeded", seconds=PATIENCE_SECONDS)
    candidate: Json = status["candidates"][0]
    return candidate


def test_a_model_that_was_taught_is_improved(bench: Workbench) -> None:
    candidate = candidate_of(bench, "taught-vs-base")
    assert candidate["verdict"] == "Improved"
    assert float(candidate["overall"]["lower"]) > 0
    assert "Improved" in condition(bench.status("comparison", "taught-vs-base"), "Complete")["message"]


def test_a_model_that_was_taught_shuffled_answers_is_not_improved_at_what_needs_the_question(bench: Workbench) -> None:
    candidate = candidate_of(bench, "misled-vs-base")
    eps = next(task for task in candidate["tasks"] if task["name"] == "eps-extraction")
    assert candidate["verdict"] != "Improved", candidate["overall"]
    assert float(eps["tuned"]) < 0.2


def test_a_model_that_learned_nothing_is_identical_to_its_base(bench: Workbench) -> None:
    candidate = candidate_of(bench, "untouched-vs-base")
    assert candidate["verdict"] == "NoDifference"
    assert {task["reason"] for task in candidate["tasks"]} == {"Identical"}
    assert float(candidate["overall"]["delta"]) == 0


def test_the_base_model_is_scored_once_for_all_three(bench: Workbench) -> None:
    names = ("taught-vs-base", "misled-vs-base", "untouched-vs-base")
    for name in names:
        candidate_of(bench, name)
    assert len({bench.status("comparison", name)["baselineEvaluation"] for name in names}) == 1
    assert len(bench.items("evaluations")) == 4
