"""A model's sizes, from what its config.json says."""

from __future__ import annotations

from typing import Any

import pytest
from planning_subjects import LLAMA_8B

from finetune_trainer.planning.dimensions import UnknownTargetError, UnplannableModelError, read_dimensions

MISTRAL_7B = LLAMA_8B | {"model_type": "mistral", "vocab_size": 32000}
QWEN2_7B = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
}
QWEN3_0_6B = {
    "model_type": "qwen3",
    "hidden_size": 1024,
    "head_dim": 128,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
GEMMA_7B = {
    "model_type": "gemma",
    "hidden_size": 3072,
    "head_dim": 256,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "intermediate_size": 24576,
    "num_hidden_layers": 28,
    "vocab_size": 256000,
}
PHI_2 = {
    "model_type": "phi",
    "hidden_size": 2560,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "intermediate_size": 10240,
    "num_hidden_layers": 32,
    "vocab_size": 51200,
    "tie_word_embeddings": False,
}
PHI_3_MINI = {
    "model_type": "phi3",
    "hidden_size": 3072,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "intermediate_size": 8192,
    "num_hidden_layers": 32,
    "vocab_size": 32064,
    "tie_word_embeddings": False,
}
FALCON_7B = {
    "model_type": "falcon",
    "hidden_size": 4544,
    "num_attention_heads": 71,
    "num_hidden_layers": 32,
    "vocab_size": 65024,
    "multi_query": True,
}
GPT2 = {"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_inner": None, "vocab_size": 50257}


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        # As the models' pages and safetensors indexes give them.
        (LLAMA_8B, 8.03e9),
        (MISTRAL_7B, 7.24e9),
        (QWEN2_7B, 7.62e9),
        (QWEN3_0_6B, 0.596e9),
        (GEMMA_7B, 8.54e9),
        (PHI_2, 2.78e9),
        (PHI_3_MINI, 3.82e9),
        (FALCON_7B, 6.92e9),
        (GPT2, 0.124e9),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_the_sizes_add_up_to_the_models_parameters(config: dict[str, Any], parameters: float) -> None:
    model = read_dimensions(config)
    counted = model.linear_parameters + model.embedding_parameters + model.norm_parameters
    assert counted == pytest.approx(parameters, rel=0.01)


def test_heads_may_be_wider_than_the_hidden_size() -> None:
    model = read_dimensions(QWEN3_0_6B)
    assert (model.hidden, model.query_width, model.key_value_width) == (1024, 2048, 1024)


def test_a_multimodal_models_language_model_is_what_counts() -> None:
    nested = {"model_type": "mllama", "text_config": LLAMA_8B, "vision_config": {"hidden_size": 1280}}
    assert read_dimensions(nested) == read_dimensions(LLAMA_8B)


@pytest.mark.parametrize(("config", "gated"), [(LLAMA_8B, True), (PHI_3_MINI, True), (PHI_2, False), (GPT2, False)])
def test_a_gate_is_told_by_the_layers(config: dict[str, Any], gated: bool) -> None:
    assert read_dimensions(config).gated is gated


@pytest.mark.parametrize("key", ["num_local_experts", "num_experts", "n_routed_experts"])
def test_a_mixture_of_experts_is_refused(key: str) -> None:
    with pytest.raises(UnplannableModelError, match="mixture of 8 experts"):
        read_dimensions(LLAMA_8B | {key: 8})


@pytest.mark.parametrize(
    "key", ["hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size", "intermediate_size"]
)
def test_what_is_missing_is_named(key: str) -> None:
    with pytest.raises(UnplannableModelError, match=f"config.json has no {key}"):
        read_dimensions({name: value for name, value in LLAMA_8B.items() if name != key})


@pytest.mark.parametrize("value", [0, -1, "4096", 4096.5, True, [4096]])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(UnplannableModelError, match=r"hidden_size in config\.json is not a whole number above 0"):
        read_dimensions(LLAMA_8B | {"hidden_size": value})


def test_layers_of_another_kind_are_refused() -> None:
    with pytest.raises(UnplannableModelError, match="layers of the type linear_attention"):
        read_dimensions(LLAMA_8B | {"layer_types": ["linear_attention", "full_attention"]})


def test_an_unknown_target_lists_those_that_there_are() -> None:
    with pytest.raises(UnknownTargetError, match="no linear layer called query; it has down_proj, gate_proj"):
        read_dimensions(LLAMA_8B).targets(("q_proj", "query"))


@pytest.mark.parametrize("target", ["foo.q_proj", "mlp.q_proj", "model.layers.32.self_attn.q_proj", "proj", ""])
def test_a_path_that_no_layer_has_is_no_target(target: str) -> None:
    with pytest.raises(UnknownTargetError, match=f"no linear layer called {target}; it has down_proj, gate_proj"):
        read_dimensions(LLAMA_8B).targets((target,))


def test_a_whole_path_is_a_target() -> None:
    whole = "model.layers.31.self_attn.q_proj"
    assert [layer.name for layer in read_dimensions(LLAMA_8B).targets((whole,))] == ["q_proj"]


def test_a_target_may_be_given_with_a_part_of_its_path() -> None:
    assert [layer.name for layer in read_dimensions(LLAMA_8B).targets(("self_attn.q_proj",))] == ["q_proj"]
