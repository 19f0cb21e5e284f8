"""What the matrices of one transformer layer are called and how large they are, by model type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class LinearLayer:
    """A matrix of one transformer layer. Layers that read the same tensor have the same `source`."""

    name: str
    inputs: int
    outputs: int
    source: str

    @property
    def size(self) -> int:
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Widths:
    hidden: int
    query: int
    key_value: int
    feed_forward: int

    def attention(self, query: str, key: str, value: str, output: str) -> tuple[LinearLayer, ...]:
        return (
            LinearLayer(query, self.hidden, self.query, "attention"),
            LinearLayer(key, self.hidden, self.key_value, "attention"),
            LinearLayer(value, self.hidden, self.key_value, "attention"),
            LinearLayer(output, self.query, self.hidden, "heads"),
        )

    def fused_attention(self, fused: str, output: str) -> tuple[LinearLayer, ...]:
        return (
            LinearLayer(fused, self.hidden, self.query + 2 * self.key_value, "attention"),
            LinearLayer(output, self.query, self.hidden, "heads"),
        )

    def feed_forwards(self, *into: str, out: str) -> tuple[LinearLayer, ...]:
        return (
            *(LinearLayer(name, self.hidden, self.feed_forward, "feed-forward") for name in into),
            LinearLayer(out, self.feed_forward, self.hidden, "product"),
        )


def _llama(widths: Widths) -> tuple[LinearLayer, ...]:
    """Llama and most after it."""
    return (
        *widths.attention("q_proj", "k_proj", "v_proj", "o_proj"),
        *widths.feed_forwards("gate_proj", "up_proj", out="down_proj"),
    )


def _phi3(widths: Widths) -> tuple[LinearLayer, ...]:
    return (
        *widths.fused_attention("qkv_proj", "o_proj"),
        LinearLayer("gate_up_proj", widths.hidden, 2 * widths.feed_forward, "feed-forward"),
        LinearLayer("down_proj", widths.feed_forward, widths.hidden, "product"),
    )


def _phi(widths: Widths) -> tuple[LinearLayer, ...]:
    return (*widths.attention("q_proj", "k_proj", "v_proj", "dense"), *widths.feed_forwards("fc1", out="fc2"))


def _starcoder2(widths: Widths) -> tuple[LinearLayer, ...]:
    return (*widths.attention("q_proj", "k_proj", "v_proj", "o_proj"), *widths.feed_forwards("c_fc", out="c_proj"))


def _gpt2(widths: Widths) -> tuple[LinearLayer, ...]:
    return (*widths.fused_attention("c_attn", "c_proj"), *widths.feed_forwards("c_fc", out="c_proj"))


def _neox(widths: Widths) -> tuple[LinearLayer, ...]:
    return (
        *widths.fused_attention("query_key_value", "dense"),
        *widths.feed_forwards("dense_h_to_4h", out="dense_4h_to_h"),
    )


def _qwen(widths: Widths) -> tuple[LinearLayer, ...]:
    return (*widths.fused_attention("c_attn", "c_proj"), *widths.feed_forwards("w1", "w2", out="c_proj"))


def _glm(widths: Widths) -> tuple[LinearLayer, ...]:
    return (
        *widths.attention("q_proj", "k_proj", "v_proj", "o_proj"),
        LinearLayer("gate_up_proj", widths.hidden, 2 * widths.feed_forward, "feed-forward"),
        LinearLayer("down_proj", widths.feed_forward, widths.hidden, "product"),
    )


def _nemotron(widths: Widths) -> tuple[LinearLayer, ...]:
    return (
        *widths.attention("q_proj", "k_proj", "v_proj", "o_proj"),
        *widths.feed_forwards("up_proj", out="down_proj"),
    )


_AS_LLAMA = (
    "cohere",
    "cohere2",
    "cwm",
    "diffllama",
    "ernie4_5",
    "exaone4",
    "gemma",
    "gemma2",
    "gemma3_text",
    "granite",
    "helium",
    "hunyuan_v1_dense",
    "hyperclovax",
    "internlm3",
    "llama",
    "ministral",
    "ministral3",
    "mistral",
    "olmo",
    "olmo2",
    "olmo3",
    "qwen2",
    "qwen3",
    "seed_oss",
    "smollm3",
    "stablelm",
    "vaultgemma",
)
Layout = Callable[[Widths], tuple[LinearLayer, ...]]
LAYOUTS: dict[str, Layout] = {
    **dict.fromkeys(_AS_LLAMA, _llama),
    "apertus": _nemotron,
    "arcee": _nemotron,
    "falcon": _neox,
    "glm": _glm,
    "glm4": _glm,
    "gpt2": _gpt2,
    "gpt_neox": _neox,
    "jais2": _nemotron,
    "nemotron": _nemotron,
    "phi": _phi,
    "phi3": _phi3,
    "qwen": _qwen,
    "starcoder2": _starcoder2,
}
"""By model_type of config.json. A test compares each with what transformers builds."""


@dataclass(frozen=True)
class Paths:
    """Where the matrices of a layer lie in the model, as its modules are called."""

    layers: str = "model.layers"
    attention: str = "self_attn"
    feed_forward: str = "mlp"

    def of(self, linear: LinearLayer, layer: int) -> str:
        """The whole name of a matrix."""
        part = self.attention if linear.source in ("attention", "heads") else self.feed_forward
        return f"{self.layers}.{layer}.{part}.{linear.name}"


USUAL_PATHS = Paths()
"""Llama's, and of most after it."""
PATHS: dict[str, Paths] = {
    "falcon": Paths("transformer.h", "self_attention"),
    "gpt2": Paths("transformer.h", "attn"),
    "gpt_neox": Paths("gpt_neox.layers", "attention"),
    "qwen": Paths("transformer.h", "attn"),
}
"""By model_type; all others have the usual ones. The same test compares them."""
