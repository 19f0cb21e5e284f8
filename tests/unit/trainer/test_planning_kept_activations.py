"""What autograd really keeps of a layer is what the plan says, on this trainer's own versions of the libraries.

On a CPU, which keeps the same tensors as a GPU but for one: its dropout keeps float32 factors where a GPU's keeps a
mask of bytes. So dropout is left out.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from finetune_api.quantization import Attention
from finetune_trainer.planning.dimensions import ModelDimensions, read_dimensions
from finetune_trainer.planning.memory import Setup, estimate

ROWS, LENGTH, RANK = 2, 256, 4
SIZES = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 300,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def config_of(model_type: str, layers: int) -> Any:
    return AutoConfig.for_model(model_type, num_hidden_layers=layers, **SIZES)


def kept(model_type: str, layers: int, attention: Attention, checkpointing: bool) -> int:
    """Bytes of the tensors that the forward pass leaves for the backward pass, each storage once."""
    torch.manual_seed(0)
    config = config_of(model_type, layers)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation=attention.value)
    model = get_peft_model(model, LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM"))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    model.train()
    if checkpointing:
        model.enable_input_require_grads()
        model.base_model.model.gradient_checkpointing_enable()
    own = {tensor.untyped_storage().data_ptr() for tensor in itertools.chain(model.parameters(), model.buffers())}
    saved: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own and tensor.shape[0] != RANK and tensor.shape[-1] != RANK:
            saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    tokens = torch.randint(3, SIZES["vocab_size"], (ROWS, LENGTH))
    mask = torch.ones_like(tokens)
    mask[0, :10] = 0
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        model(input_ids=tokens, attention_mask=mask, use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def planned(dimensions: ModelDimensions, attention: Attention, checkpointing: bool) -> int:
    setup = Setup(
        targets=("all-linear",),
        rank=1,  # what the rank adds is left out above, as it cannot be told from copies of the weights
        micro_batch_size=ROWS,
        length=LENGTH,
        attention=attention,
        checkpointing=checkpointing,
        dropout=False,
    )
    one_more = replace(dimensions, layers=dimensions.layers + 1)
    return estimate(one_more, setup).activations - estimate(dimensions, setup).activations


@pytest.mark.parametrize(
    ("model_type", "attention", "checkpointing"),
    [
        ("llama", Attention.SDPA, False),
        ("llama", Attention.EAGER, False),
        ("llama", Attention.SDPA, True),
        ("qwen3", Attention.SDPA, False),
        ("phi3", Attention.SDPA, False),
        ("gemma2", Attention.EAGER, False),
        ("gemma", Attention.SDPA, False),
        ("phi", Attention.SDPA, False),
    ],
)
def test_a_layer_keeps_what_is_planned_for_it(model_type: str, attention: Attention, checkpointing: bool) -> None:
    measured = kept(model_type, 3, attention, checkpointing) - kept(model_type, 2, attention, checkpointing)
    dimensions = read_dimensions(config_of(model_type, 2).to_dict())
    assert planned(dimensions, attention, checkpointing) == pytest.approx(measured, rel=0.05)
