"""The loss that a CPU computes is the loss that trl defines, and is never finite by mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from finetune_trainer.train.callbacks import gradients_are_finite
from finetune_trainer.train.completion_trainer import completion_loss


def batch() -> dict[str, Any]:
    torch.manual_seed(1)
    tokens = torch.randint(5, 200, (3, 12))
    labels = tokens.clone()
    labels[0, :7] = -100
    labels[1, :3] = -100
    labels[1, 9:] = -100
    labels[2, :11] = -100
    attention = torch.ones_like(tokens)
    attention[1, 9:] = 0
    return {"input_ids": tokens, "attention_mask": attention, "labels": labels}


def test_the_loss_is_that_of_all_logits(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    inputs = batch()
    total, tokens = completion_loss(model, inputs)
    logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    expected = functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten(), ignore_index=-100, reduction="sum"
    )
    assert tokens == 5 + 6 + 1
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_the_loss_does_not_depend_on_what_is_padded(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    inputs = batch()
    changed = inputs | {"input_ids": inputs["input_ids"].clone()}
    changed["input_ids"][1, 9:] = 7
    with torch.no_grad():
        before, after = completion_loss(model, inputs)[0], completion_loss(model, changed)[0]
    assert float(before) == pytest.approx(float(after))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_number_among_the_gradients_that_is_not_finite_is_found(value: float) -> None:
    model = torch.nn.Linear(3, 3)
    model.weight.grad = torch.zeros(3, 3)
    assert gradients_are_finite(model)
    model.weight.grad[1, 2] = value
    assert not gradients_are_finite(model)
