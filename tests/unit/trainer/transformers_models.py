"""A small configuration of each type of model whose layers are known."""

from __future__ import annotations

from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig

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
