"""The variants of LoRA, number formats and attention kernels that a manifest may ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from interruptions import learning_rates, stopped
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from workplaces import TRAINING, MakeWorkplace, Workplace, losses, prepared_with, trained

from finetune_api.conditions import Reason
from finetune_api.quantization import Attention, Method, Precision, Quantization
from finetune_trainer.failures import UserError
from finetune_trainer.train import step


def adapter_of(workplace: Workplace) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_file(workplace.directory / "train/adapter/adapter_model.safetensors")
    return weights


def said_of_the_adapter(workplace: Workplace) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((workplace.directory / "train/adapter/adapter_config.json").read_text())
    return said


def test_rank_stabilized_lora_scales_by_the_root_of_the_rank(workplace: Workplace) -> None:
    trained(workplace, lora={"rslora": True, "rank": 16, "alpha": 32})
    assert said_of_the_adapter(workplace)["use_rslora"] is True
    base = AutoModelForCausalLM.from_pretrained(workplace.model)
    model = PeftModel.from_pretrained(base, workplace.directory / "train/adapter")
    scales = {module.scaling["default"] for module in model.modules() if isinstance(module, LoraLayer)}
    assert scales == {32 / 4}


@pytest.mark.parametrize("quantization", [Quantization.NONE, Quantization.NF4])
def test_weight_decomposed_lora_learns_magnitudes_in_32_bits(workplace: Workplace, quantization: Quantization) -> None:
    trained(workplace, lora={"dora": True}, method=Method.AUTO, quantization=quantization)
    assert losses(workplace)[-1] < losses(workplace)[0] * 0.7
    magnitudes = [weight for name, weight in adapter_of(workplace).items() if "magnitude" in name]
    assert magnitudes
    assert {weight.dtype for weight in adapter_of(workplace).values()} == {torch.float32}


PLUS = {"lora_plus_ratio": "16"}
SLOW = TRAINING | {"learning_rate": "3e-3"}


def test_lora_plus_moves_the_second_matrix_further(make_workplace: MakeWorkplace) -> None:
    plain, plus = make_workplace("plain"), make_workplace("plus")
    trained(plain, training=SLOW)
    trained(plus, training=SLOW, lora=PLUS)

    def size_of_b(workplace: Workplace) -> float:
        return sum(float(weight.norm()) for name, weight in adapter_of(workplace).items() if "lora_B" in name)

    assert size_of_b(plus) > 4 * size_of_b(plain)


@pytest.mark.usefixtures("stop_request")
def test_lora_plus_goes_on_as_if_it_had_not_been_stopped(make_workplace: MakeWorkplace) -> None:
    whole, interrupted = make_workplace("whole"), make_workplace("interrupted")
    trained(whole, training=SLOW, lora=PLUS)
    prepared_with(interrupted, {}, training=SLOW, lora=PLUS)
    stopped(interrupted, at=4, training=SLOW, lora=PLUS)
    rates = learning_rates(interrupted, 5)
    assert rates[5] < max(rates.values()) == pytest.approx(3e-3), "the cosine falls"
    step.run(interrupted.train_order(training=SLOW, lora=PLUS), interrupted.reporter)
    assert losses(interrupted) == pytest.approx(losses(whole), abs=1e-6)


@pytest.mark.parametrize("precision", Precision)
def test_the_planned_precision_is_the_one_that_computes(workplace: Workplace, precision: Precision) -> None:
    prepared_with(workplace, {"precision": precision})
    step.run(workplace.train_order(), workplace.reporter)
    assert losses(workplace)[-1] < losses(workplace)[0] / 2
    assert {weight.dtype for weight in adapter_of(workplace).values()} == {torch.float32}


def test_precisions_differ_in_the_loss(make_workplace: MakeWorkplace) -> None:
    first_losses = []
    for precision in Precision:
        workplace = make_workplace(precision)
        prepared_with(workplace, {"precision": precision})
        step.run(workplace.train_order(), workplace.reporter)
        first_losses.append(losses(workplace)[0])
    assert first_losses[0] != first_losses[1]
    assert first_losses[0] == pytest.approx(first_losses[1], rel=0.02)


def test_eager_attention_computes_the_same(make_workplace: MakeWorkplace) -> None:
    sdpa, eager = make_workplace("sdpa"), make_workplace("eager")
    prepared_with(sdpa, {"precision": Precision.FLOAT32})
    step.run(sdpa.train_order(), sdpa.reporter)
    prepared_with(eager, {"precision": Precision.FLOAT32, "attention": Attention.EAGER})
    step.run(eager.train_order(), eager.reporter)
    assert losses(eager)[0] == pytest.approx(losses(sdpa)[0], abs=1e-5)


def test_flash_attention_on_the_cpu_names_the_field_and_the_remedy(workplace: Workplace) -> None:
    prepared_with(workplace, {"attention": Attention.FLASH_ATTENTION_2})
    with pytest.raises(
        UserError, match=r"spec\.training\.attention: flash_attention_2 needs a GPU.*set sdpa"
    ) as caught:
        step.run(workplace.train_order(), workplace.reporter)
    assert caught.value.reason is Reason.ORDER_INVALID


def test_without_a_padding_token_rows_are_filled_with_another_and_the_losses_stay_the_same(
    make_workplace: MakeWorkplace, own_model: Any
) -> None:
    """The chat template writes the end, whatever tokenizer_config.json names."""
    named, unnamed = make_workplace("named"), make_workplace("unnamed")
    path = own_model / "tokenizer_config.json"
    kept = {name: value for name, value in json.loads(path.read_text()).items() if not name.endswith("_token")}
    path.write_text(json.dumps(kept))
    unnamed.model = own_model
    trained(named)
    trained(unnamed)
    assert losses(unnamed) == pytest.approx(losses(named), abs=1e-5)
