"""The sizes of a model, from its config.json alone: no weight is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_api.quantization import Attention
from finetune_trainer.planning.layouts import LAYOUTS, PATHS, USUAL_PATHS, LinearLayer, Paths, Widths
from finetune_trainer.target_modules import ALL_LINEAR, is_named, missing_targets

_TIED_BY_DEFAULT = frozenset(
    {
        "cohere",
        "cohere2",
        "ernie4_5",
        "falcon",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
        "smollm3",
        "starcoder2",
        "vaultgemma",
    }
)
"""Model types whose config.json may leave `tie_word_embeddings` out and mean true."""
_NORMS_ON_BOTH_SIDES = frozenset({"gemma2", "gemma3_text"})
"""Of attention and feed-forward; others have one before each."""
_ONE_NORM = frozenset({"cohere", "cohere2", "falcon", "phi"})
"""For attention and feed-forward, which then read the same."""
_NORMS_ON_HEADS = frozenset({"gemma3_text", "olmo2", "olmo3", "qwen3"})
"""Queries and keys are normed too."""
_FOUR_TIMES_THE_HIDDEN_SIZE = frozenset({"falcon", "gpt2"})
"""Their feed-forward part, where config.json does not say."""
_KEPT_BY_ACTIVATION = {"gelu_new": 4, "relu2": 2}
"""Tensors of the feed-forward width that an activation function keeps which is no single operation of torch's."""
_WITHOUT_SDPA = frozenset({"gemma2", "vaultgemma"})
"""They cap their scores, which only eager attention can."""
_EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_KNOWN_LAYER_TYPES = frozenset({"full_attention", "sliding_attention", "chunked_attention"})


class UnplannableModelError(ValueError):
    """Why nothing can be said about the memory that a model needs."""


class UnknownTargetError(ValueError):
    """A target module that the model's layers do not have."""


@dataclass(frozen=True)
class ModelDimensions:
    """Widths in elements."""

    hidden: int
    query_width: int
    """Heads x head size; in some models it is not the hidden size."""
    key_value_width: int
    """Key and value heads x head size: less than `query_width` where heads share them."""
    feed_forward: int
    layers: int
    heads: int
    vocabulary: int
    normed: int
    """What the norms of one layer read, together."""
    tied: bool
    """Whether the output layer is the embedding."""
    linears: tuple[LinearLayer, ...]
    """The matrices of one layer."""
    paths: Paths = USUAL_PATHS
    """Where these lie in the model."""
    caps_scores: bool = False
    """Whether attention passes its scores through a tanh."""
    kept_by_activation: int = 1
    """Tensors of the feed-forward width that the activation function keeps for the backward pass."""

    @property
    def gated(self) -> bool:
        """Whether the feed-forward part multiplies two of its inputs' projections (SwiGLU, GeGLU)."""
        wide = sum(linear.outputs for linear in self.linears if linear.source == "feed-forward")
        return wide == 2 * self.feed_forward

    @property
    def linear_parameters(self) -> int:
        """Weights of all layers, without embedding, output layer and norms."""
        return self.layers * sum(linear.size for linear in self.linears)

    @property
    def embedding_parameters(self) -> int:
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def norm_parameters(self) -> int:
        return self.layers * self.normed + self.hidden

    def targets(self, names: Sequence[str]) -> tuple[LinearLayer, ...]:
        """The matrices of one layer that get an adapter. UnknownTargetError for a name that there is not."""
        if tuple(names) == (ALL_LINEAR,):
            return self.linears
        found = {name: [linear for linear in self.linears if self._is_meant(linear, name)] for name in names}
        missing = [name for name in names if not found[name]]
        if missing:
            raise UnknownTargetError(missing_targets(missing, sorted({linear.name for linear in self.linears})))
        return tuple(linear for linear in self.linears if any(linear in those for those in found.values()))

    def _is_meant(self, linear: LinearLayer, target: str) -> bool:
        return any(is_named(self.paths.of(linear, layer), target) for layer in range(self.layers))


def read_dimensions(config: Mapping[str, Any]) -> ModelDimensions:
    """From the content of a config.json, also where a multimodal model nests its language model's.

    UnplannableModelError names what is missing, or what kind of model is not planned.
    """
    text = config.get("text_config")
    if isinstance(text, Mapping):
        config = {"tie_word_embeddings": config.get("tie_word_embeddings"), **text}
    _refuse_other_kinds(config)
    model_type = str(config.get("model_type", ""))
    hidden = _size(config, "hidden_size", "n_embd", "d_model")
    heads = _size(config, "num_attention_heads", "n_head")
    head_size = _optional_size(config, "head_dim", "head_size") or hidden // heads
    key_value_heads = _key_value_heads(config, heads)
    feed_forward = _feed_forward(config, model_type, hidden)
    widths = Widths(hidden, heads * head_size, key_value_heads * head_size, feed_forward)
    return ModelDimensions(
        hidden=hidden,
        query_width=widths.query,
        key_value_width=widths.key_value,
        feed_forward=feed_forward,
        layers=_size(config, "num_hidden_layers", "n_layer"),
        heads=heads,
        vocabulary=_size(config, "vocab_size"),
        normed=_normed(model_type, widths),
        tied=_is_tied(config, model_type),
        linears=LAYOUTS[model_type](widths),
        paths=PATHS.get(model_type, USUAL_PATHS),
        caps_scores=bool(config.get("attn_logit_softcapping")),
        kept_by_activation=_kept_by_activation(config),
    )


def default_attention(config: Mapping[str, Any]) -> Attention:
    """The fastest that the trainer image carries and the model can."""
    text = config.get("text_config")
    model_type = (text if isinstance(text, Mapping) else config).get("model_type")
    return Attention.EAGER if model_type in _WITHOUT_SDPA else Attention.SDPA


def _refuse_other_kinds(config: Mapping[str, Any]) -> None:
    experts = next((config[key] for key in _EXPERT_COUNTS if config.get(key)), 0)
    if isinstance(experts, int) and experts > 1:
        raise UnplannableModelError(
            f"the model is a mixture of {experts} experts, which cannot be planned: give a dense model"
        )
    others = set(config.get("layer_types") or ()) - _KNOWN_LAYER_TYPES
    if others:
        raise UnplannableModelError(f"layers of the type {', '.join(sorted(others))} cannot be planned")
    if config.get("model_type") not in LAYOUTS:
        raise UnplannableModelError(
            f"the memory of a model of the type '{config.get('model_type')}' cannot be planned; it can for "
            + ", ".join(sorted(LAYOUTS))
        )


def _key_value_heads(config: Mapping[str, Any], heads: int) -> int:
    if config.get("multi_query") and not config.get("new_decoder_architecture"):
        return 1
    return _optional_size(config, "num_key_value_heads", "num_kv_heads") or heads


def _feed_forward(config: Mapping[str, Any], model_type: str, hidden: int) -> int:
    size = _optional_size(config, "intermediate_size", "ffn_hidden_size", "n_inner")
    if size is None:
        if model_type not in _FOUR_TIMES_THE_HIDDEN_SIZE:
            raise UnplannableModelError("config.json has no intermediate_size")
        return 4 * hidden
    # The first Qwen counts both halves of its gate.
    return size // 2 if model_type == "qwen" else size


def _normed(model_type: str, widths: Widths) -> int:
    around = 4 if model_type in _NORMS_ON_BOTH_SIDES else 1 if model_type in _ONE_NORM else 2
    heads = widths.query + widths.key_value if model_type in _NORMS_ON_HEADS else 0
    return around * widths.hidden + heads


def _kept_by_activation(config: Mapping[str, Any]) -> int:
    names = (config.get(key) for key in ("hidden_act", "activation_function", "activation"))
    return next((_KEPT_BY_ACTIVATION[name] for name in names if name in _KEPT_BY_ACTIVATION), 1)


def _is_tied(config: Mapping[str, Any], model_type: str) -> bool:
    tied = config.get("tie_word_embeddings")
    return model_type in _TIED_BY_DEFAULT if tied is None else bool(tied)


def _size(config: Mapping[str, Any], *names: str) -> int:
    size = _optional_size(config, *names)
    if size is None:
        raise UnplannableModelError(f"config.json has no {names[0]}")
    return size


def _optional_size(config: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UnplannableModelError(f"{name} in config.json is not a whole number above 0 (it is {value!r})")
        return value
    return None
