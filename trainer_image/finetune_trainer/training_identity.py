"""What a finished training is recognised by: everything that the adapter's weights follow from."""

from __future__ import annotations

from finetune_api.finetunejob import Lora, Training
from finetune_api.quantization import Precision
from finetune_api.results import PrepareTrainingResult
from finetune_trainer.digests import document_digest

_PORTIONS = {"micro_batch_size", "checkpoint_every_steps", "activation_checkpointing"}


def training_identity(prepared: PrepareTrainingResult, lora: Lora, training: Training) -> str:
    """Digest of data, model and settings. Not of what only says how the work is cut up: micro-batches, checkpoints,
    GPUs. So a training that ran out of memory and went on in smaller portions is still found again. Fields at their
    default are left out, so that one which is added later renames no finished training; so is bfloat16."""
    precision = prepared.plan.precision
    return document_digest(
        {
            **({} if precision is Precision.BFLOAT16 else {"precision": precision}),
            "dataset": prepared.dataset.digest,
            "baseModel": prepared.base_model_digest,
            "method": prepared.plan.method,
            "quantization": prepared.plan.quantization,
            "lora": lora.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            "training": training.model_dump(mode="json", by_alias=True, exclude=_PORTIONS, exclude_defaults=True),
        }
    )
