"""What a dataset is recognised by: what its examples say, and how the pipeline made the two splits of them."""

from __future__ import annotations

from decimal import Decimal

from finetune_api.orders import PrepareTrainingOrder
from finetune_trainer.dataset.splitting import Split
from finetune_trainer.digests import document_digest


def dataset_digest(parts: Split, order: PrepareTrainingOrder, decisions: str | None) -> str:
    """sha256 over the canonical examples of both splits and the settings of the pipeline. Whitespace and the order of
    keys in the source change nothing. Limits at their default are left out, so that one which is added later renames no
    dataset. `decisions` is the digest of what people decided."""
    return document_digest(
        {
            "examples": parts.digest,
            "validationFraction": str(Decimal(order.validation_fraction).normalize()),
            "seed": order.training.seed,
            "quality": order.quality.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            **({} if decisions is None else {"decisions": decisions}),
        }
    )
