"""The most memory that one GPU needs for a training, by what it is for.

Counted tensor by tensor, as PyTorch's autograd keeps them; docs/planning.md has the formula, where each constant comes
from, and how far off it is on published peaks. Sizes are bytes, T is the tokens of one micro-batch, and 2 and 4 are
the bytes of a number in bfloat16 and float32.
"""

from __future__ import annotations

from dataclasses import dataclass

from finetune_api.planning import MemoryParts
from finetune_api.quantization import Attention, Precision, Quantization, Sharding
from finetune_trainer.planning.dimensions import ModelDimensions
from finetune_trainer.planning.layouts import LinearLayer
from finetune_trainer.planning.profiles import OWN, Habits, LossKernel

GIB = 1024**3
CUDA_CONTEXT = int(0.9 * GIB)
"""The CUDA context, loaded kernels and the workspace of cuBLAS: on the GPU, but not in torch's own figures."""
FRAGMENTATION = 0.05
"""Share of what comes and goes that the allocator cannot use again, with expandable segments."""

_NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes a weight: 4 bits, a scale of 8 bits for 64 of them, and one of 32 bits for 256 scales."""
_NF4_SINGLE = 0.5 + 4 / 64
"""The same with scales of 32 bits."""
_INT8 = 1.001
"""8 bits, and a scale of 32 bits a row."""
_FLAT_TOKENS = 4096
_FLAT_VOCABULARY = 32768
"""trl's fused loss scores so many tokens against so much of the vocabulary at once."""


_BYTES_A_SCORE = {LossKernel.CHUNKED: 2, LossKernel.IN_PLACE: 8, LossKernel.PLAIN: 12, LossKernel.SHIFTED: 16}


@dataclass(frozen=True)
class Setup:
    """A training as far as its memory goes. The defaults are this trainer's."""

    targets: tuple[str, ...]
    rank: int
    micro_batch_size: int
    length: int
    """Tokens of the longest row."""
    quantization: Quantization = Quantization.NONE
    precision: Precision = Precision.BFLOAT16
    checkpointing: bool = False
    attention: Attention = Attention.SDPA
    dropout: bool = True
    dora: bool = False
    sharding: Sharding = Sharding.NONE
    ranks: int = 1
    habits: Habits = OWN.lora

    @property
    def tokens(self) -> int:
        return self.micro_batch_size * self.length

    @property
    def element(self) -> int:
        return 4 if self.precision is Precision.FLOAT32 else 2

    @property
    def casts(self) -> bool:
        """Whether numbers of the adapter are wider than those that it computes with."""
        return self.habits.adapter_bytes == 4 and self.element == 2

    @property
    def is_quantized(self) -> bool:
        return self.quantization is not Quantization.NONE

    @property
    def weight(self) -> float:
        """Bytes of one weight of a linear layer."""
        if self.quantization is Quantization.NF4:
            return _NF4 if self.habits.double_quantization else _NF4_SINGLE
        return _INT8 if self.quantization is Quantization.INT8 else self.element


def estimate(model: ModelDimensions, setup: Setup) -> MemoryParts:
    """The peak by part; the parts add up to it.

    It is reached either where the loss is taken or in the backward pass of a layer, whichever takes more: the scores
    are gone before the layers are gone through again. What a layer takes beyond the scores counts as activations.
    """
    logits = _logits(model, setup)
    activations = _kept(model, setup) + max(0, _working_set(model, setup) - logits)
    parameters = adapter_parameters(model, setup)
    share = setup.ranks if setup.sharding is Sharding.FSDP else 1
    # Only the base model is kept in parts: the adapter stays whole, and its gradients are averaged through buckets.
    buckets = 0 if setup.sharding is Sharding.NONE else parameters * setup.habits.adapter_bytes
    # Autocast keeps the copy that it computes with until the step's end.
    cast = parameters * setup.element if setup.casts else 0
    return MemoryParts(
        weights=_weights(model, setup) // share + _gathered(model, setup),
        adapters=parameters * setup.habits.adapter_bytes + cast,
        gradients=parameters * setup.habits.adapter_bytes + buckets,
        optimizer=2 * parameters * setup.habits.adapter_bytes,
        activations=activations,
        logits=logits,
        context=CUDA_CONTEXT + int(FRAGMENTATION * (activations + logits)),
    )


def total(parts: MemoryParts) -> int:
    return sum(parts.model_dump().values())


def adapter_parameters(model: ModelDimensions, setup: Setup) -> int:
    """Numbers of the adapter: rank x (inputs + outputs) for each matrix; DoRA adds a magnitude an output."""
    layers = model.targets(setup.targets)
    return model.layers * sum(_adapter_size(layer, setup) for layer in layers)


def _adapter_size(layer: LinearLayer, setup: Setup) -> int:
    return setup.rank * (layer.inputs + layer.outputs) + (layer.outputs if setup.dora else 0)


def _weights(model: ModelDimensions, setup: Setup) -> int:
    linear = model.linear_parameters * setup.weight
    embedding = model.embedding_parameters * (4 if setup.habits.upcast else setup.element)
    return int(linear + embedding + model.norm_parameters * 4)


def _gathered(model: ModelDimensions, setup: Setup) -> int:
    """FSDP2 has the whole weights of the layer that computes and of the next one, and gathers the embedding."""
    if setup.sharding is not Sharding.FSDP:
        return 0
    layer = model.linear_parameters / model.layers * setup.weight
    embedding = model.vocabulary * model.hidden * setup.element
    return int(max(2 * layer, embedding))


def _logits(model: ModelDimensions, setup: Setup) -> int:
    if setup.habits.loss is LossKernel.FUSED:
        tile = min(setup.tokens, _FLAT_TOKENS) * min(model.vocabulary, _FLAT_VOCABULARY) * 2
        return tile + setup.tokens * model.hidden * 4
    return int(setup.tokens * model.vocabulary * _BYTES_A_SCORE[setup.habits.loss])


def _kept(model: ModelDimensions, setup: Setup) -> int:
    """What all layers keep from the forward pass: with checkpointing no more than what each of them reads."""
    stream = 4 if setup.habits.upcast else setup.element
    a_token = model.hidden * stream if setup.checkpointing else _layer(model, setup)
    mask = 0 if setup.attention is Attention.FLASH_ATTENTION_2 else setup.length  # a byte for each pair of tokens
    return int(setup.tokens * (model.layers * a_token + mask))


def _working_set(model: ModelDimensions, setup: Setup) -> int:
    """What the backward pass of one layer takes beyond what is kept: gradients, a weight as it is multiplied with,
    and with checkpointing the layer's own activations, which are computed again."""
    gradients = setup.element * (2 * model.hidden + 2 * model.feed_forward) + _attention_scores(model, setup) // 2
    if setup.casts and not setup.is_quantized:
        gradients += 4 * max((layer.inputs for layer in model.targets(setup.targets)), default=0)
    recomputed = _layer(model, setup) if setup.checkpointing else 0
    return int(setup.tokens * (gradients + recomputed) + _matrices(model, setup))


def _matrices(model: ModelDimensions, setup: Setup) -> int:
    """A quantized weight as it is multiplied with; DoRA takes the norm of weight and adapter together, in float32."""
    largest = max(linear.size for linear in model.linears)
    return largest * ((setup.element if setup.is_quantized else 0) + (2 * 4 if setup.dora else 0))


def _layer(model: ModelDimensions, setup: Setup) -> float:
    """Bytes a token that one layer keeps for its backward pass without checkpointing."""
    element = setup.element
    # A norm computes in float32 and keeps its input so.
    norms = model.normed * (element if setup.habits.compiled else 4)
    # With a mask, all kernels but flash attention are given the keys and values once for every head.
    key_value = model.key_value_width if setup.attention is Attention.FLASH_ATTENTION_2 else model.query_width
    attention = element * (2 * model.query_width + 2 * key_value) + _attention_pairs(model, setup)
    if model.gated:
        feed_forward = element * model.feed_forward * (2 if setup.habits.compiled else 3)
    else:
        feed_forward = element * model.feed_forward * model.kept_by_activation
    return norms + attention + feed_forward + _inputs(model, setup)


def _attention_pairs(model: ModelDimensions, setup: Setup) -> int:
    """What is kept for each token that a token may look at: of sdpa the mask, which every layer converts for itself."""
    if setup.attention is Attention.SDPA:
        return setup.length * setup.element
    return _attention_scores(model, setup)


def _attention_scores(model: ModelDimensions, setup: Setup) -> int:
    """Eager attention keeps every head's scores: their softmax in float32 and again as it is multiplied with."""
    if setup.attention is not Attention.EAGER:
        return 0
    cap = setup.element if model.caps_scores else 0
    return model.heads * setup.length * (4 + setup.element + cap)


def _inputs(model: ModelDimensions, setup: Setup) -> float:
    """What the adapters, and some quantized layers, keep of what they read."""
    targets = model.targets(setup.targets)
    own = sum(setup.rank + (2 * layer.outputs if setup.dora else 0) for layer in targets) * setup.element
    keeps = setup.quantization is Quantization.INT8 or (setup.is_quantized and setup.habits.keeps_inputs)
    quantized = _shared_inputs(model.linears, setup) if keeps else 0
    if setup.dropout:
        # Each adapter drops other inputs, and keeps the rest and a mask.
        return own + quantized + sum(layer.inputs * (setup.element + 1) for layer in targets)
    if setup.casts and not setup.is_quantized:
        # peft widens the input for each adapter, and autocast narrows it again: a copy for each.
        return own + sum(layer.inputs for layer in targets) * setup.element
    return own + max(quantized, _shared_inputs(targets, setup))


def _shared_inputs(layers: tuple[LinearLayer, ...], setup: Setup) -> int:
    """Layers that read the same tensor keep it once; what the heads gave, the attention keeps anyway."""
    inputs = {layer.source: layer.inputs for layer in layers if layer.source != "heads"}
    return sum(inputs.values()) * setup.element
