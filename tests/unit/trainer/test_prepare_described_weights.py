"""Weights that are not those of config.json are told from by their names and shapes, before a GPU is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers_models import OF_TRANSFORMERS, config_of

from finetune_trainer.described_weights import check_weights
from finetune_trainer.model_config import UnusableModelError

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 100,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
SHAPES = {
    "model.embed_tokens.weight": (100, 16),
    "lm_head.weight": (100, 16),
    **{
        f"model.layers.{layer}.{name}.weight": shape
        for layer in range(2)
        for name, shape in {
            "self_attn.q_proj": (16, 16),
            "self_attn.k_proj": (8, 16),
            "self_attn.v_proj": (8, 16),
            "self_attn.o_proj": (16, 16),
            "mlp.gate_proj": (32, 16),
            "mlp.up_proj": (32, 16),
            "mlp.down_proj": (16, 32),
            "input_layernorm": (16,),
        }.items()
    },
}


def without(name: str) -> dict[str, tuple[int, ...]]:
    return {other: shape for other, shape in SHAPES.items() if other != name}


@pytest.mark.parametrize("model_type", OF_TRANSFORMERS)
def test_the_weights_that_transformers_makes_are_those_of_its_config(model_type: str) -> None:
    config = config_of(model_type)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    tied = set(getattr(model, "all_tied_weights_keys", {}))
    check_weights(
        config.to_dict(), {name: tuple(value.shape) for name, value in model.state_dict().items() if name not in tied}
    )


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (LLAMA, SHAPES),
        (LLAMA, {name.removeprefix("model."): shape for name, shape in SHAPES.items()}),
        (LLAMA | {"tie_word_embeddings": True}, without("lm_head.weight")),
        (LLAMA, {f"language_model.{name}": shape for name, shape in SHAPES.items()}),
        (LLAMA, {"vision.layers.0.self_attn.q_proj.weight": (6, 6)} | SHAPES),
        (LLAMA | {"model_type": "of_next_year"}, {"anything": (1,)}),
    ],
    ids=["whole", "saved without its head's name", "tied", "a part of another", "beside a part that sees", "unknown"],
)
def test_what_belongs_together_is_accepted(config: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    check_weights(config, shapes)


@pytest.mark.parametrize(
    ("config", "shapes", "said"),
    [
        (LLAMA, without("lm_head.weight"), "lack 1 of the 16 matrices that config.json tells of, such as lm_head.weig"),
        (LLAMA, without("model.embed_tokens.weight"), "such as embed_tokens.weight: copy the model's folder anew"),
        (LLAMA, without("model.layers.1.mlp.up_proj.weight"), "such as layers.1.mlp.up_proj.weight: copy the model"),
        (LLAMA | {"vocab_size": 90}, SHAPES, "model.embed_tokens.weight is 100 x 16, where config.json tells of 90 x"),
        (LLAMA | {"num_key_value_heads": 4}, SHAPES, "model.layers.0.self_attn.k_proj.weight is 8 x 16, where config"),
        (LLAMA | {"head_dim": 8}, SHAPES, "q_proj.weight is 16 x 16, where config.json tells of 32 x 16: config.json"),
        *(
            (
                LLAMA,
                SHAPES | {f"model.layers.0.mlp.up_proj{ending}": (1,)},
                f"they hold model.layers.0.mlp.up_proj{ending}",
            )
            for ending in (".qweight", ".qzeros", ".SCB", ".weight.absmax", ".weight_scale_inv")
        ),
    ],
)
def test_what_does_not_is_refused(config: dict[str, Any], shapes: dict[str, tuple[int, ...]], said: str) -> None:
    with pytest.raises(UnusableModelError) as caught:
        check_weights(config, shapes)
    assert said in str(caught.value)
