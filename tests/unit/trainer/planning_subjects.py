"""Models, jobs and GPUs to plan for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from finetune_api.guard import Guard
from finetune_api.planning import GpuClass, Measured
from finetune_api.quantization import Attention, Method, Precision, Quantization
from finetune_trainer.planning.decision import Situation
from finetune_trainer.planning.demand import Demand
from finetune_trainer.planning.dimensions import ModelDimensions, read_dimensions

LLAMA_8B: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
DIGEST = "sha256:" + "a" * 64
A100 = "NVIDIA-A100-SXM4-80GB"


def model(**changes: Any) -> ModelDimensions:
    """Llama 3.1 8B, or what becomes of it with some dimensions changed."""
    return replace(read_dimensions(LLAMA_8B), **changes)


def model_of_20b() -> ModelDimensions:
    return read_dimensions(LLAMA_8B | {"hidden_size": 6144, "intermediate_size": 24576, "num_hidden_layers": 40})


def demand(**changes: Any) -> Demand:
    """What the schema's defaults ask for, with rows of 2048 tokens on one GPU."""
    usual = Demand(
        targets=("q_proj", "k_proj", "v_proj", "o_proj"),
        rank=16,
        dropout=True,
        dora=False,
        method=Method.AUTO,
        quantization=None,
        precision=Precision.BFLOAT16,
        attention=Attention.SDPA,
        checkpointing=None,
        micro_batch_size=None,
        rows_per_step=16,
        length=2048,
        packing=False,
        gpus=1,
        nodes=1,
    )
    return replace(usual, **changes)


def gpu(gibibytes: float, **changes: Any) -> GpuClass:
    usual = {"product": f"GPU-{gibibytes}", "memory_mib": int(gibibytes * 1024), "gpus_per_node": 1, "nodes": 1}
    return GpuClass.model_validate(usual | changes)


def situation(
    *gpus: GpuClass, measured: tuple[Measured, ...] = (), guard: Guard | None = None, digest: str | None = DIGEST
) -> Situation:
    return Situation(gpus, measured, digest, guard)


def measurement(**changes: Any) -> Measured:
    """A finished LoRA training of the model on an A100."""
    usual = {
        "base_model_digest": DIGEST,
        "gpu_product": A100,
        "method": Method.LORA,
        "quantization": Quantization.NONE,
        "tokens_per_second": "2000",
    }
    return Measured.model_validate(usual | changes)
