"""The merged model says what base and adapter say; the adapter is one that peft reads by itself."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from interruptions import stages
from peft import PeftModel
from peft.tuners.lora import Linear, LoraModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from workplaces import TRAINING, Workplace, eps_rows, trained

from finetune_api.conditions import Reason
from finetune_api.quantization import Method, Precision, Quantization
from finetune_api.results import TrainResult
from finetune_trainer import prepare_training
from finetune_trainer.base_model import check_base_model
from finetune_trainer.dataset.examples import from_line
from finetune_trainer.failures import UserError
from finetune_trainer.tokenization import Tokenizer
from finetune_trainer.train import merging
from finetune_trainer.train.merging import Difference

MERGED = {"export": {"merged": True}}
QUESTION = "What are the earnings per share? Answer with the number."


def logits(model: torch.nn.Module, workplace: Workplace) -> torch.Tensor:
    tokens = torch.tensor([list(Tokenizer.load(workplace.model).encode_question(QUESTION))])
    with torch.no_grad():
        found: torch.Tensor = model.eval()(tokens).logits.float()
    return found


def merged_of(workplace: Workplace, result: TrainResult) -> Path:
    assert result.merged_path == "train/merged"
    return workplace.directory / result.merged_path


@pytest.mark.parametrize("quantization", [Quantization.NONE, Quantization.NF4, Quantization.INT8])
def test_the_merged_model_answers_as_base_and_adapter_do(workplace: Workplace, quantization: Quantization) -> None:
    result = trained(workplace, method=Method.AUTO, quantization=quantization, **MERGED)
    difference = float(result.training.merged_logit_difference or "nan")
    folder = merged_of(workplace, result)
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    merged = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert not hasattr(merged.config, "quantization_config")
    base = AutoModelForCausalLM.from_pretrained(workplace.model)
    untuned = logits(base, workplace)
    tuned = logits(PeftModel.from_pretrained(base, workplace.directory / result.adapter_path), workplace)
    found = logits(merged, workplace)
    assert 0 < difference < float(result.training.merged_logit_limit or "nan")
    assert (found - tuned).abs().max() < (untuned - tuned).abs().max() / 4


def test_the_difference_that_is_reported_is_that_of_the_files(workplace: Workplace) -> None:
    result = trained(workplace, **MERGED, training=TRAINING | {"precision": Precision.FLOAT32})
    base = AutoModelForCausalLM.from_pretrained(workplace.model)
    tuned = PeftModel.from_pretrained(base, workplace.directory / result.adapter_path)
    merged = AutoModelForCausalLM.from_pretrained(merged_of(workplace, result), dtype=torch.float32)
    tokenizer = Tokenizer.load(workplace.model)
    lines = (workplace.directory / "prepare" / "validation.jsonl").read_text().splitlines()
    apart = []
    for line in lines:
        tokens = torch.tensor([tokenizer.encode_example(from_line(line)).tokens])
        with torch.no_grad():
            apart.append(float((tuned(tokens).logits - merged(tokens).logits).abs().max()))
    assert float(result.training.merged_logit_difference or "nan") == pytest.approx(max(apart), abs=2e-4)


@pytest.mark.parametrize("lora", [{"dora": True}, {"rslora": True, "target_modules": ["all-linear"]}])
def test_variants_of_lora_are_merged_as_they_were_trained(workplace: Workplace, lora: dict[str, Any]) -> None:
    result = trained(workplace, method=Method.QLORA, lora=lora, validation_fraction="0", **MERGED)
    assert merged_of(workplace, result).is_dir()
    limit = float(result.training.merged_logit_limit or "nan")
    assert 0 < float(result.training.merged_logit_difference or "nan") < limit


def test_a_merged_model_is_a_base_model(workplace: Workplace) -> None:
    result = trained(workplace, **MERGED)
    folder = merged_of(workplace, result)
    check_base_model(folder, "spec.baseModel")
    question = [{"role": "user", "content": QUESTION}]
    said = AutoTokenizer.from_pretrained(folder).apply_chat_template(question, add_generation_prompt=True)
    assert tuple(said["input_ids"]) == Tokenizer.load(workplace.model).encode_question(QUESTION)
    again = Workplace(workplace.root / "again", folder)
    again.write_rows(eps_rows(20))
    assert trained(again).training.steps > 0


@pytest.fixture
def lightly_trained() -> dict[str, Any]:
    """An adapter that changes the logits by less than half of their standard deviation."""
    return {"training": TRAINING | {"learning_rate": "2e-4"}}


def twice(model: LoraModel) -> torch.nn.Module:
    for module in model.modules():
        if isinstance(module, Linear):
            module.base_layer.weight.data += module.get_delta_weight("default")
    merged: torch.nn.Module = MERGE(model)
    return merged


MERGE = LoraModel.merge_and_unload


@pytest.mark.parametrize("merge", [LoraModel.unload, twice])
def test_an_adapter_that_is_not_merged_or_twice_is_told_and_the_training_stands(
    workplace: Workplace,
    lightly_trained: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    merge: Callable[[LoraModel], torch.nn.Module],
) -> None:
    """As where the library that merges has a fault."""
    monkeypatch.setattr(LoraModel, "merge_and_unload", merge)
    result = trained(workplace, **lightly_trained, **MERGED)
    assert result.merged_path is None
    difference, limit = result.training.merged_logit_difference, result.training.merged_logit_limit
    assert 0 < float(limit or "nan") < float(difference or "nan") / 2
    base = AutoModelForCausalLM.from_pretrained(workplace.model)
    assert float(difference or "nan") < float(logits(base, workplace).std()) / 2
    assert sorted(path.name for path in (workplace.directory / "train").iterdir() if path.is_dir()) == ["adapter"]
    (problem,) = workplace.problems
    assert problem.startswith("the merged model is not kept: its logits differ from those of base model and adapter")


def test_a_lightly_trained_adapter_is_merged(workplace: Workplace, lightly_trained: dict[str, Any]) -> None:
    assert trained(workplace, **lightly_trained, **MERGED).merged_path == "train/merged"


@pytest.mark.parametrize(
    ("difference", "is_acceptable"),
    [
        (Difference(largest=0.2, changed=1.0, largest_logit=0.0), True),
        (Difference(largest=0.3, changed=1.0, largest_logit=0.0), False),
        (Difference(largest=0.3, changed=1.0, largest_logit=12.8), True),
        (Difference(largest=0.1, changed=0.0, largest_logit=12.8), True),
        (Difference(largest=float("nan"), changed=1.0, largest_logit=1.0), False),
        (Difference(largest=0.1, changed=float("nan"), largest_logit=1.0), False),
    ],
)
def test_a_quarter_of_what_the_adapter_changes_and_rounding_are_the_limit(
    difference: Difference, is_acceptable: bool
) -> None:
    assert difference.is_acceptable is is_acceptable


def test_nothing_is_merged_unless_it_is_asked_for(workplace: Workplace) -> None:
    result = trained(workplace)
    assert (result.merged_path, result.training.merged_logit_difference) == (None, None)


def test_a_merge_that_does_not_fit_is_told_and_costs_no_step(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once there is memory enough, only the merge is done anew."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:131] err == 0. DefaultCPUAllocator: can't allocate memory")

    with monkeypatch.context() as short_of_memory, pytest.raises(UserError) as caught:
        short_of_memory.setattr(Linear, "get_delta_weight", fail)
        trained(workplace, **MERGED)
    assert caught.value.reason is Reason.HOST_MEMORY_EXCEEDED
    assert caught.value.message.startswith("the model that the adapter is merged into does not fit into the pod's")
    assert "raise spec.resources.memory, and only the merge is done anew" in caught.value.message
    assert not (workplace.directory / "train").exists()
    assert trained(workplace, **MERGED).merged_path is not None
    assert stages(workplace).count("training") == 1


def test_a_released_model_holds_no_memory(workplace: Workplace) -> None:
    model = AutoModelForCausalLM.from_pretrained(workplace.model)
    watched = [weakref.ref(parameter) for parameter in model.parameters()]
    merging.release(model)
    assert [reference() for reference in watched] == [None] * len(watched)


def test_the_cards_say_what_came_of_what(workplace: Workplace) -> None:
    result = trained(workplace, lora={"lora_plus_ratio": "4"}, **MERGED)
    prepared = prepare_training.run(workplace.prepare_order(lora={"lora_plus_ratio": "4"}), workplace.reporter)
    card = (workplace.directory / result.adapter_path / "README.md").read_text()
    for expected in (
        "base_model: tiny",
        prepared.base_model_digest,
        prepared.dataset.digest,
        "rank 16, alpha 32, dropout 0.05, LoRA+ 4",
        f"| training loss at the end | {result.training.final_loss} |",
        f"| validation loss | {result.training.validation_loss} |",
        'PeftModel.from_pretrained(base, "adapter")',
    ):
        assert expected in card
    merged_card = (merged_of(workplace, result) / "README.md").read_text()
    assert f"by at most {result.training.merged_logit_difference}" in merged_card
