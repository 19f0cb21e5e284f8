"""The layers that the plan counts are those that transformers builds."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers_models import OF_TRANSFORMERS, config_of

from finetune_api.quantization import Attention
from finetune_trainer.planning.dimensions import default_attention, read_dimensions
from finetune_trainer.planning.layouts import LAYOUTS


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
