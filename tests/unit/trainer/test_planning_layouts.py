"""The layers that the plan counts are those that transformers builds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

from finetune_api.quantization import Attention
from finetune_trainer.planning.dimensions import default_attention, read_dimensions
from finetune_trainer.planning.layouts import LAYOUTS

SIZES = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "num_hidden_layers": 2,
    "vocab_size": 1000,
    "pad_token_id": 0,
}
OTHER_SIZES = {
    "gpt2": {"n_embd": 512, "n_head": 8, "n_layer": 2, "vocab_size": 1000, "n_positions": 8},
    # These have no key and value heads of another number, or derive the size of a head.
    "gpt_neox": {name: size for name, size in SIZES.items() if name not in ("num_key_value_heads", "head_dim")},
    "falcon": {name: SIZES[name] for name in ("hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size")},
}
OF_TRANSFORMERS = sorted(set(LAYOUTS) & set(CONFIG_MAPPING))


def config_of(model_type: str) -> Any:
    return AutoConfig.for_model(model_type, **OTHER_SIZES.get(model_type, SIZES))


def is_linear(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"


def test_all_but_the_first_qwen_are_of_transformers() -> None:
    assert set(LAYOUTS) - set(OF_TRANSFORMERS) == {"qwen"}


@pytest.mark.parametrize("model_type", OF_TRANSFORMERS)
def test_the_layers_are_those_of_the_model(model_type: str) -> None:
    config = config_of(model_type)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    dimensions = read_dimensions(config.to_dict())
    found = sorted(
        (name, module.weight.numel()) for name, module in model.named_modules() if is_linear(module) and ".0." in name
    )
    assert sorted((dimensions.paths.of(layer, 0), layer.size) for layer in dimensions.linears) == found
    counted = dimensions.linear_parameters + dimensions.embedding_parameters + dimensions.norm_parameters
    assert counted == pytest.approx(sum(parameter.numel() for parameter in model.parameters()), rel=0.01)


@pytest.mark.parametrize("model_type", OF_TRANSFORMERS)
def test_where_the_spec_says_nothing_the_attention_is_one_that_the_model_has(model_type: str) -> None:
    config = config_of(model_type)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    assert (default_attention(config.to_dict()) is Attention.SDPA) is model._supports_sdpa


@pytest.mark.parametrize("model_type", OF_TRANSFORMERS)
def test_what_config_json_leaves_out_is_known(model_type: str) -> None:
    config = config_of(model_type)
    told = config.to_dict()
    del told["tie_word_embeddings"]
    assert read_dimensions(told).tied is bool(config.tie_word_embeddings)
