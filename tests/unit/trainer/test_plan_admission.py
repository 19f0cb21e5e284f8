"""What the API server refuses, the plan by hand refuses; what it accepts, is planned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from finetune_api.finetunejob import FineTuneJobSpec
from finetune_api.schema import structural_schema
from finetune_trainer.plan_command.errors import InputError
from finetune_trainer.plan_command.manifest import read_job
from finetune_trainer.plan_command.rules import UnknownRuleError, holds

ADMISSION = Path(__file__).parents[2] / "cluster" / "admission"
ACCEPTED = sorted((ADMISSION / "accepted").glob("finetunejob-*.yaml"))
REFUSED = sorted((ADMISSION / "refused").glob("finetunejob-*.yaml"))
NOT_OF_THE_PLAN = {
    "finetunejob-name-too-long": "only the spec is planned; a name is for the cluster to judge",
}


@pytest.mark.parametrize("path", [path for path in REFUSED if path.stem not in NOT_OF_THE_PLAN], ids=lambda it: it.stem)
def test_what_the_cluster_refuses_is_refused_with_the_field(path: Path) -> None:
    field = re.search(r'# field: (?:unknown field ")?([^"\n]+)', path.read_text())
    assert field is not None
    with pytest.raises(InputError) as caught:
        read_job(path)
    assert f": {field[1]}" in str(caught.value)


def test_what_is_not_refused_is_planned() -> None:
    for name in NOT_OF_THE_PLAN:
        read_job(ADMISSION / "refused" / f"{name}.yaml")


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("lora: {loraPlusRatio: abc}", "spec.lora.loraPlusRatio: must be a decimal number in quotes, at least 1"),
        ("training: {earlyStopping: {minImprovement: x}}", "spec.training.earlyStopping.minImprovement: must be"),
        ('training: {learningRate: "0"}', "spec.training.learningRate: must be a decimal number in quotes, above 0"),
        ('resources: {memory: "12"}', "spec.resources.memory: must be an amount of memory of at least 64Mi"),
        ("lora: {targetModules: [v_proj, q_proj, v_proj]}", "spec.lora.targetModules[2]: v_proj is there more than"),
        ("tracking: {mlflow: {}, wandb: {}}", "spec.tracking: exactly one of mlflow, wandb must be given"),
        ("evaluation: {suite: {builtin: law}}", "spec.evaluation.suite.builtin: must be finance, not law"),
        ("training: {seeds: [1, 1]}", "spec.training.seeds[1]: 1 is there more than once"),
        ("resources: {tolerations: [{kee: a}]}", "spec.resources.tolerations[0].kee: there is no such field"),
    ],
)
def test_a_value_is_refused_in_the_words_of_the_cluster(tmp_path: Path, spec: str, complaint: str) -> None:
    with pytest.raises(InputError, match=re.escape(complaint)):
        read_job(manifest(tmp_path, spec))


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda it: it.stem)
def test_what_the_cluster_accepts_is_planned(path: Path) -> None:
    read_job(path)


@pytest.mark.parametrize(
    "spec",
    [
        'training: {learningRate: "1"}',
        "resources: {memory: 64Mi, cpu: 500m}",
        "resources: {memory: 1e9, cpu: '0.5'}",
        "resources: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-A100}, tolerations: [{operator: Exists}]}",
        "tracking: {mlflow: {server: 'https://mlflow.tracking:5000/api'}}",
    ],
)
def test_a_value_that_the_cluster_takes_is_taken(tmp_path: Path, spec: str) -> None:
    read_job(manifest(tmp_path, spec))


def manifest(folder: Path, spec: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(
        "apiVersion: finetune.dev/v1alpha1\nkind: FineTuneJob\nspec:\n"
        "  baseModel: {persistentVolumeClaim: {claimName: models, path: llama}}\n"
        "  dataset: {persistentVolumeClaim: {claimName: datasets, path: train.jsonl}}\n"
        f"  {spec}\n"
    )
    return path


def rules_of(schema: dict[str, Any]) -> list[tuple[str, str]]:
    """Every rule of the spec, with the type of what it is on."""
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    below = [rule for each in inner if isinstance(each, dict) for rule in rules_of(each)]
    return [*((rule["rule"], schema["type"]) for rule in schema.get("x-kubernetes-validations", ())), *below]


def test_every_rule_of_the_spec_is_known() -> None:
    rules = set(rules_of(structural_schema(FineTuneJobSpec)))
    assert len(rules) > 20
    for rule, kind in rules:
        # Parts of a rule may be left unlooked at, as soon as one says enough: each is asked for by itself.
        terms = re.split(r" && | \|\| ", rule) if kind == "string" else [rule]
        for term in terms:
            holds(term, "1" if kind == "string" else fields())


def fields() -> dict[str, Any]:
    """Of every object that has a rule over several of them."""
    return {
        "packing": False,
        "effectiveBatchSize": 1,
        "method": "auto",
        "training": {},
        "resources": {"nodes": 1, "gpus": 0},
        "endpoint": "https://a",
    }


def test_a_rule_that_is_not_known_is_no_rule_that_holds() -> None:
    for value in ("text", {"packing": True}):
        with pytest.raises(UnknownRuleError):
            holds("self.isRight()", value)
