"""`finetune plan`: a plan by hand, without a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from planning_subjects import DIGEST, LLAMA_8B, measurement
from workplaces import write_tokenizer

from finetune_api.finetunejob import FineTuneJobSpec
from finetune_api.orders import SuiteLocation
from finetune_api.sources import SuiteSplit
from finetune_trainer.evaluation.questions import load_questions
from finetune_trainer.plan_command.command import main
from finetune_trainer.statistics.power import weakest_task_effect

SPEC: dict[str, Any] = {
    "baseModel": {"persistentVolumeClaim": {"claimName": "models", "path": "llama"}},
    "dataset": {"persistentVolumeClaim": {"claimName": "datasets", "path": "train.jsonl"}},
}


class Desk:
    """A manifest, and folders that stand for the volumes."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.capsys = capsys
        self.model = root / "models" / "llama"
        self.model.mkdir(parents=True)
        (root / "datasets").mkdir()
        self.write_config()
        self.write_manifest()

    def write_config(self, **changes: Any) -> None:
        (self.model / "config.json").write_text(json.dumps(LLAMA_8B | changes))

    def write_manifest(self, spec: dict[str, Any] | None = None, **changes: Any) -> None:
        document = {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "llama-eps"},
            "spec": SPEC | (spec or {}),
        } | changes
        (self.root / "job.yaml").write_text(yaml.safe_dump(document))

    def write_rows(self, completions: list[str]) -> None:
        write_tokenizer(self.model)
        rows = [json.dumps({"prompt": "a", "completion": completion}) for completion in completions]
        (self.root / "datasets" / "train.jsonl").write_text("\n".join(rows) + "\n")

    def run(self, *options: str) -> tuple[int, str, str]:
        """Exit code, what was printed, what was complained about."""
        given = ("-f", str(self.root / "job.yaml"), "--models", str(self.root / "models"))
        code = main([*given, *options])
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err

    def plan(self, *options: str) -> dict[str, Any]:
        code, printed, complaint = self.run(*options, "-o", "json")
        assert (code, complaint) == (0, "")
        answer: dict[str, Any] = json.loads(printed)
        return answer

    def complaint(self, *options: str) -> str:
        code, printed, complaint = self.run(*options)
        assert (code, printed) == (2, "")
        return complaint

    @property
    def datasets(self) -> tuple[str, str]:
        return "--datasets", str(self.root / "datasets")


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def test_the_answer_has_the_promised_keys(desk: Desk) -> None:
    plan = desk.plan("--gpu-memory", "24Gi")
    assert plan["memory"]["peakBytes"] == sum(plan["memory"]["parts"].values())
    parts = {"weights", "adapters", "gradients", "optimizer", "activations", "logits", "context"}
    assert set(plan["memory"]["parts"]) == parts
    assert (plan["method"], plan["quantization"], plan["activationCheckpointing"]) == ("lora", "none", True)
    assert plan["microBatchSize"] * plan["gradientAccumulation"] == 16
    assert (plan["hours"], plan["energyKWh"]) == (None, None)
    assert "--measured" in plan["hoursNote"]


@pytest.mark.parametrize(("limit", "points"), [(200, "13.5"), (50, "19.3")])
def test_an_evaluation_that_follows_tells_what_it_can_detect(desk: Desk, limit: int, points: str) -> None:
    desk.write_manifest({"evaluation": {"suite": {"builtin": "finance", "limitPerTask": limit}}})
    assert desk.plan()["minimumDetectableEffect"] == pytest.approx(float(points) / 100, abs=5e-4)
    assert f"{points} points of one task, in four cases of five" in desk.run()[1]


@pytest.mark.parametrize(("split", "limit"), [("holdout", None), ("holdout", 150), ("search", 50), ("all", 400)])
def test_what_an_evaluation_can_detect_is_what_prepare_tells(desk: Desk, split: str, limit: int | None) -> None:
    suite: dict[str, Any] = {"builtin": "finance", "split": split}
    desk.write_manifest({"evaluation": {"suite": suite if limit is None else suite | {"limitPerTask": limit}}})
    asked = load_questions(SuiteLocation(builtin="finance", split=SuiteSplit(split), limit_per_task=limit))
    assert desk.plan()["minimumDetectableEffect"] == pytest.approx(weakest_task_effect(asked), abs=5e-5)


def test_of_a_suite_that_no_folder_stands_for_nothing_is_told(desk: Desk) -> None:
    claim = {"claimName": "suites", "path": "own"}
    desk.write_manifest({"evaluation": {"suite": {"persistentVolumeClaim": claim}}})
    assert desk.plan()["minimumDetectableEffect"] is None
    assert "detectable" not in desk.run()[1]


def test_less_memory_leads_to_quantized_weights(desk: Desk) -> None:
    plan = desk.plan("--gpu-memory", "16Gi")
    assert (plan["method"], plan["quantization"]) == ("qlora", "nf4")


def test_the_table_tells_the_same(desk: Desk) -> None:
    code, table, _ = desk.run("--gpu-memory", "24Gi")
    assert code == 0
    lines = dict(line.split("  ", 1) for line in table.splitlines() if not line.startswith(" "))
    assert lines["method"].strip() == "lora, weights bfloat16"
    assert lines["hours"].strip().startswith("not known: ")
    peak = lines["memory of a GPU, peak"].strip()
    assert peak.endswith(" GiB, of this trainer, with its fused loss; other frameworks: --like")


def test_what_does_not_fit_names_the_smallest_change(desk: Desk) -> None:
    complaint = desk.complaint("--gpu-memory", "7Gi")
    assert "the training needs" in complaint and "set spec.resources.gpus: " in complaint


def test_several_gpus_are_planned_for(desk: Desk) -> None:
    desk.write_manifest({"resources": {"gpus": 4, "memory": "64Gi"}})
    plan = desk.plan("--gpu-memory", "24Gi")
    assert (plan["sharding"], plan["gpus"]) == ("ddp", 4)
    assert plan["microBatchSize"] * plan["gradientAccumulation"] * 4 == 16
    assert desk.plan("--gpu-memory", "7Gi")["sharding"] == "fsdp"


@pytest.mark.parametrize(
    ("resources", "memory", "enough", "whose"),
    [
        ({"gpus": 4}, "16Gi", "68Gi", "in each of a node's 4 processes"),
        ({"gpus": 4, "nodes": 2}, "59Gi", "68Gi", "in each of a node's 4 processes"),
        ({"gpus": 0}, "8Gi", "17Gi", "15.0 GiB of host memory: "),
    ],
)
def test_host_memory_that_cannot_hold_the_weights_is_refused(
    desk: Desk, resources: dict[str, int], memory: str, enough: str, whose: str
) -> None:
    pins = {"method": "lora", "training": {"precision": "bfloat16"}}
    desk.write_manifest(pins | {"resources": resources | {"memory": memory}})
    card = "--gpu-memory", "14Gi"  # of which only several hold the 15 GiB
    complaint = desk.complaint(*card)
    assert complaint.startswith(f"finetune plan: spec.resources.memory: {memory}, but the base model's weights take")
    assert whose in complaint and complaint.endswith(f": set {enough} or more\n")
    desk.write_manifest(pins | {"resources": resources | {"memory": enough}})
    desk.plan(*card)


def test_host_memory_is_not_asked_for_what_goes_to_the_gpu_at_once(desk: Desk) -> None:
    desk.write_manifest({"resources": {"gpus": 2, "memory": "8Gi"}})
    assert desk.plan("--gpu-memory", "80Gi")["sharding"] == "ddp"


def test_pins_are_kept(desk: Desk) -> None:
    pins = {"microBatchSize": 1, "activationCheckpointing": False, "precision": "float32", "attention": "eager"}
    desk.write_manifest({"training": pins})
    assert desk.plan("--gpu-memory", "200Gi").items() >= pins.items()


def test_a_dataset_gives_steps(desk: Desk) -> None:
    desk.write_rows(["b" * length for length in range(20, 120)])
    plan = desk.plan(*desk.datasets)
    assert plan["dataset"] == {
        "trainingExamples": 90,
        "sampled": 100,
        "meanTokens": pytest.approx(74.5, abs=0.1),
        "meanTokensInterval": [plan["dataset"]["meanTokens"]] * 2,
    }
    assert (plan["stepsPerEpoch"], plan["steps"]) == (6, 18)


def test_a_large_dataset_is_sampled_and_the_mean_has_an_interval(desk: Desk) -> None:
    desk.write_rows(["b" * (20 + index % 100) for index in range(10_000)])
    plan = desk.plan(*desk.datasets)
    assert (plan["dataset"]["trainingExamples"], plan["dataset"]["sampled"]) == (9000, 2000)
    low, high = plan["dataset"]["meanTokensInterval"]
    assert low < plan["dataset"]["meanTokens"] < high
    assert low <= 74.5 <= high


def test_packed_a_step_has_the_rows_that_hold_as_many_examples(desk: Desk) -> None:
    desk.write_rows(["b" * 98] * 100)
    desk.write_manifest({"training": {"packing": True, "sequenceLength": 400}})
    plan = desk.plan(*desk.datasets)
    assert plan["rowsPerStep"] == round(16 * plan["dataset"]["meanTokens"] / 400) == 4
    assert "a step takes 4, which hold about 16 examples" in plan["rowsNote"]
    assert plan["rowsNote"] in desk.run(*desk.datasets)[1]


def test_packed_a_micro_batch_must_divide_the_rows_that_the_dataset_fills(desk: Desk) -> None:
    desk.write_rows(["b" * 98] * 100)
    packed = {"packing": True, "sequenceLength": 400}
    desk.write_manifest({"training": packed | {"microBatchSize": 8}})  # of 16 examples, but 4 rows
    refused = "spec.training.microBatchSize: 8 must divide the 4 packed rows of 400 tokens of a step that each GPU"
    assert refused in desk.complaint(*desk.datasets)
    desk.write_manifest({"training": packed | {"effectiveBatchSize": 12, "microBatchSize": 3}})
    assert desk.plan(*desk.datasets)["microBatchSize"] == 3


@pytest.mark.parametrize("text", ["made: 2026-02-30", "made: " + "1" * 5000, "[" * 5000])
def test_a_manifest_that_yaml_cannot_hold_is_refused(desk: Desk, text: str) -> None:
    (desk.root / "job.yaml").write_text(text)
    assert "job.yaml is not YAML: " in desk.complaint()


def test_packed_a_micro_batch_is_refused_by_no_rule_before_the_rows_are_known(desk: Desk) -> None:
    desk.write_manifest({"training": {"packing": True, "microBatchSize": 3}, "resources": {"gpus": 4}})
    plan = desk.plan()
    assert plan["microBatchSize"] * plan["gradientAccumulation"] * 4 == 24
    assert "a step is taken to have 24 packed rows" in desk.run()[1]


def test_hours_follow_from_measured_trainings(desk: Desk) -> None:
    desk.write_rows(["b" * 98] * 100)
    measured = desk.root / "measured.json"
    lesson = measurement(mean_watts="400", tokens_per_second="10", gpu_product=None).to_manifest()
    measured.write_text(json.dumps([lesson]))
    desk.write_manifest({"resources": {"gpus": 0, "memory": "64Gi"}, "training": {"precision": "bfloat16"}})
    plan = desk.plan(*desk.datasets, "--measured", str(measured), "--base-model-digest", DIGEST)
    tokens = 90 * plan["dataset"]["meanTokens"] * 3
    assert plan["hours"] == pytest.approx(tokens / 10 / 3600, rel=0.01)
    assert plan["energyKWh"] == pytest.approx(plan["hours"] * 0.4, rel=0.05)
    assert plan["hoursInterval"] == [plan["hours"]] * 2


def test_another_frameworks_loss_can_be_compared_with(desk: Desk) -> None:
    plain = desk.plan("--loss-kernel", "plain")["memory"]
    assert plain["parts"]["logits"] > 10 * desk.plan()["memory"]["parts"]["logits"]
    assert (plain["like"], plain["lossKernel"]) == ("own", "plain")


def test_another_frameworks_training_can_be_compared_with(desk: Desk) -> None:
    own, torchtune = desk.plan()["memory"], desk.plan("--like", "torchtune")["memory"]
    assert torchtune["parts"]["optimizer"] == own["parts"]["optimizer"] / 2
    assert (torchtune["like"], torchtune["lossKernel"]) == ("torchtune", "chunked")
    assert desk.plan("--like", "torchtune", "--loss-kernel", "fused")["memory"]["lossKernel"] == "fused"
    table = desk.run("--like", "torchtune")[1]
    assert "memory of a GPU, peak, like torchtune" in table and "of this trainer" not in table


def test_the_attention_that_the_manifest_pins_goes_before_the_frameworks(desk: Desk) -> None:
    assert (desk.plan()["attention"], desk.plan("--like", "litgpt")["attention"]) == ("sdpa", "flash_attention_2")
    desk.write_manifest({"training": {"attention": "eager"}})
    assert desk.plan("--like", "litgpt")["attention"] == "eager"


@pytest.mark.parametrize(
    ("spec", "missing"),
    [
        ({"resources": {"gpus": 0}}, "a GPU, and the training computes on the CPU; set sdpa, or leave it out"),
        ({"training": {"precision": "float32"}}, "spec.training.precision: bfloat16; set sdpa, or leave it out"),
    ],
)
def test_flash_attention_is_refused_where_it_cannot_compute(desk: Desk, spec: dict[str, Any], missing: str) -> None:
    pinned = {"attention": "flash_attention_2"}
    desk.write_manifest(spec | {"training": spec.get("training", {}) | pinned})
    assert f"spec.training.attention: flash_attention_2 needs {missing}" in desk.complaint()
    assert desk.plan("--like", "litgpt")["attention"] == "flash_attention_2"
    desk.write_manifest({"training": pinned})
    assert desk.plan()["attention"] == "flash_attention_2"


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"lora": {"rank": 1024}}, "spec.lora.rank"),
        ({"lora": {"targetModules": ["query"]}}, "no linear layer called query; it has down_proj, gate_proj"),
        ({"lora": {"targetModules": ["foo.q_proj"]}}, "no linear layer called foo.q_proj; it has down_proj, gate_proj"),
        (
            {"lora": {"targetModules": ["q_proj", "lm_head"]}},
            "spec.lora.targetModules: the model has no linear layer called lm_head; it has down_proj, gate_proj, "
            "k_proj, o_proj, q_proj, up_proj, v_proj (or give all-linear alone)\n",
        ),
        ({"training": {"microBatchSize": 3}}, "spec.training.microBatchSize"),
        ({"training": {"sequenceLenght": 3}}, "spec.training.sequenceLenght: there is no such field"),
        ({"method": "lora", "quantization": "nf4"}, "spec.quantization: quantization int8 or nf4 needs method qlora"),
        ({"resources": {"gpus": 3}}, "spec.training.effectiveBatchSize: 16 cannot be shared evenly by 3 GPUs"),
        ({"baseModel": {}}, "spec.baseModel: persistentVolumeClaim must be given"),
        (
            {"baseModel": {"persistentVolumeClaim": {"claimName": "models", "path": "lama"}}},
            "spec.baseModel.persistentVolumeClaim.path: 'lama' does not exist: the volume holds llama/",
        ),
    ],
)
def test_what_is_wrong_in_the_spec_is_named_by_its_field(desk: Desk, spec: dict[str, Any], complaint: str) -> None:
    desk.write_manifest(spec)
    assert complaint in desk.complaint()


def test_a_rank_above_a_layers_size_is_refused(desk: Desk) -> None:
    desk.write_config(hidden_size=256, num_attention_heads=4, num_key_value_heads=1, head_dim=64)
    desk.write_manifest({"lora": {"rank": 100}})
    assert "spec.lora.rank: 100 is larger than the layer k_proj of 64 x 256: set at most 64" in desk.complaint()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model_type": "mamba9"}, "'mamba9'"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "only causal language models can be fine-tuned"),
        ({"num_local_experts": 8}, "a mixture of 8 experts"),
        ({"quantization_config": {"quant_method": "awq"}}, "the weights are already quantized (awq)"),
        ({"hidden_size": None}, "config.json has no hidden_size"),
    ],
)
def test_a_model_that_cannot_be_planned_is_named_with_why(desk: Desk, changes: dict[str, Any], complaint: str) -> None:
    desk.write_config(**changes)
    message = desk.complaint()
    assert "spec.baseModel.persistentVolumeClaim.path: " in message and complaint in message


def test_a_model_that_caps_its_scores_gets_the_attention_that_can(desk: Desk) -> None:
    desk.write_config(model_type="gemma2", attn_logit_softcapping=50.0)
    assert desk.plan()["attention"] == "eager"
    desk.write_manifest({"training": {"attention": "sdpa"}})
    assert "spec.training.attention: " in desk.complaint()


def test_a_folder_without_config_json_is_no_model(desk: Desk) -> None:
    (desk.model / "config.json").unlink()
    assert "no config.json" in desk.complaint()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", "is not YAML"),
        ("", "has no FineTuneJob; it has nothing"),
        ("kind: Comparison", "has no FineTuneJob; it has Comparison"),
        ("{kind: FineTuneJob, apiVersion: v1}", "apiVersion: 'v1' is not finetune.dev/v1alpha1"),
        ("{kind: FineTuneJob, apiVersion: finetune.dev/v1alpha1}", "spec is missing"),
        ("just words", "it has no object"),
    ],
)
def test_what_is_no_manifest_is_refused(desk: Desk, text: str, complaint: str) -> None:
    (desk.root / "job.yaml").write_text(text)
    assert complaint in desk.complaint()


def test_a_missing_manifest_is_named(desk: Desk) -> None:
    (desk.root / "job.yaml").unlink()
    assert "cannot be read: No such file or directory" in desk.complaint()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--gpu-memory", "lots"), '--gpu-memory: "lots" is not an amount of memory'),
        (("--gpu-memory", "24"), "--gpu-memory: 24 is less than 1Gi"),
        (("--datasets", "/nowhere"), "--datasets: /nowhere is not a folder"),
        (("--measured", "/nowhere"), "--measured: /nowhere cannot be read"),
        (("--gpus", "17"), "--gpus: 17 is not a number from 0 to 16"),
    ],
)
def test_a_wrong_option_is_named(desk: Desk, options: tuple[str, ...], complaint: str) -> None:
    assert complaint in desk.complaint(*options)


def test_bad_lines_of_the_dataset_are_told(desk: Desk) -> None:
    desk.write_rows(["b"])
    (desk.root / "datasets" / "train.jsonl").write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\n')
    assert "1 of 2 lines that were looked at cannot be used" in desk.complaint(*desk.datasets)


@pytest.mark.parametrize("evaluation", [None, {"suite": {"builtin": "finance", "limitPerTask": 200}}], ids=str)
def test_it_answers_in_a_second_and_imports_neither_torch_nor_a_tokenizer(
    desk: Desk, evaluation: dict[str, Any] | None
) -> None:
    desk.write_manifest({} if evaluation is None else {"evaluation": evaluation})
    statement = (
        "import sys; from finetune_trainer.__main__ import main; code = main(sys.argv[1:]); "
        "slow = {'torch', 'transformers', 'tokenizers', 'numpy'} & set(sys.modules); "
        "print(sorted(slow), file=sys.stderr); sys.exit(code)"
    )
    given = ["plan", "-f", str(desk.root / "job.yaml"), "--models", str(desk.root / "models"), "--gpu-memory", "24Gi"]

    # Processor time, as a busy neighbour does not count.
    before = os.times()
    finished = subprocess.run(
        [sys.executable, "-c", statement, *given],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},  # the sources, not those that the image carries
        capture_output=True,
        text=True,
        timeout=60,
    )
    after = os.times()
    assert (finished.returncode, finished.stderr) == (0, "[]\n")
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1


def rules_of(schema: Any) -> Iterator[str]:
    """The messages of all rules that the CRD has."""
    if isinstance(schema, dict):
        yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from rules_of(inner)


@pytest.mark.parametrize(
    "spec",
    [
        {"method": "auto", "baseModel": {}},
        {"dataset": {}},
        {"method": "lora", "quantization": "int8"},
        {"method": "qlora", "quantization": "none"},
        {"training": {"microBatchSize": 3}},
        {"training": {"earlyStopping": {}}, "dataset": SPEC["dataset"] | {"validationFraction": "0"}},
        {"resources": {"gpus": 0, "nodes": 2}},
        {"guard": {"action": "Pause"}},
    ],
    ids=str,
)
def test_a_rule_over_several_fields_is_told_in_the_words_of_the_crd(desk: Desk, spec: dict[str, Any]) -> None:
    desk.write_manifest(spec)
    told = desk.complaint()
    assert any(rule in told for rule in rules_of(FineTuneJobSpec.model_json_schema()))
