"""How frameworks differ in what they keep in memory, so that a peak that one of them published can be compared with.

A profile says what is known of a framework's code, and is the same for all of its figures: model, row length, batch,
adapter and checkpointing come from the manifest. docs/planning.md says what each of them changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from finetune_api.quantization import Attention, Quantization


class LossKernel(StrEnum):
    """How the loss is taken of the output layer's scores."""

    FUSED = "fused"
    """In tiles, without ever keeping all scores (trl's, Liger's): what this trainer computes with on a GPU."""
    CHUNKED = "chunked"
    """Scores of all tokens in bfloat16, the loss piece by piece (torchtune)."""
    IN_PLACE = "in-place"
    """Scores in float32, overwritten by their gradient (unsloth's kernel), or all four copies in 16 bits."""
    PLAIN = "plain"
    """Scores, their logarithm and their gradient in float32 (transformers from 4.45 on, LitGPT)."""
    SHIFTED = "shifted"
    """PLAIN, and a copy of the scores without the last token (transformers until 4.44)."""


class Framework(StrEnum):
    """Whose training is planned."""

    OWN = "own"
    """This trainer."""
    HUGGINGFACE = "huggingface"
    """transformers with peft and bitsandbytes, as most scripts use them."""
    TORCHTUNE = "torchtune"
    LITGPT = "litgpt"
    QWEN = "qwen"
    """The scripts of QwenLM/Qwen for one GPU."""
    FMS_ACCELERATION = "fms-acceleration"
    """transformers with foundation-model-stack's plug-ins."""


@dataclass(frozen=True)
class Habits:
    """What a framework keeps in memory, over weights of one kind. The defaults are this trainer's."""

    loss: LossKernel = LossKernel.FUSED
    adapter_bytes: int = 4
    """Of one number of the adapter, its gradient and its two moments. peft keeps them in float32; 8 is DeepSpeed
    ZeRO-2, which keeps 16-bit and 32-bit copies, and flat buffers."""
    upcast: bool = False
    """Embeddings and the stream between the layers in float32: what peft's prepare_model_for_kbit_training does."""
    double_quantization: bool = True
    """Whether the scales of nf4 are quantized too."""
    keeps_inputs: bool = False
    """nf4 layers keep what they read for the backward pass, as bitsandbytes 0.41 did. int8 layers always do."""
    compiled: bool = False
    """torch.compile computes norms and products again instead of keeping them."""


@dataclass(frozen=True)
class Profile:
    """A framework's habits with and without quantized weights."""

    lora: Habits = Habits()
    qlora: Habits = Habits()
    attention: Attention | None = Attention.FLASH_ATTENTION_2
    """Where the manifest names none; None is the fastest that the trainer image carries and the model can."""

    def habits(self, quantization: Quantization) -> Habits:
        return self.lora if quantization is Quantization.NONE else self.qlora

    def with_loss(self, loss: LossKernel) -> Profile:
        return replace(self, lora=replace(self.lora, loss=loss), qlora=replace(self.qlora, loss=loss))


OWN = Profile(attention=None)
_TRANSFORMERS = Habits(loss=LossKernel.SHIFTED)
_TORCHTUNE = Habits(loss=LossKernel.CHUNKED, adapter_bytes=2, compiled=True)
_LITGPT = Habits(loss=LossKernel.PLAIN, adapter_bytes=2, double_quantization=False, keeps_inputs=True)

PROFILES: Mapping[Framework, Profile] = MappingProxyType(
    {
        Framework.OWN: OWN,
        Framework.HUGGINGFACE: Profile(_TRANSFORMERS, replace(_TRANSFORMERS, upcast=True)),
        Framework.TORCHTUNE: Profile(_TORCHTUNE, _TORCHTUNE),
        Framework.LITGPT: Profile(_LITGPT, _LITGPT),
        # LoRA with transformers' Trainer alone; Q-LoRA with DeepSpeed in float16, which widens no scores.
        Framework.QWEN: Profile(_TRANSFORMERS, Habits(loss=LossKernel.IN_PLACE, adapter_bytes=8)),
        # The plug-in for bitsandbytes leaves out what widens the embeddings.
        Framework.FMS_ACCELERATION: Profile(replace(_TRANSFORMERS, adapter_bytes=2), _TRANSFORMERS),
    }
)
