"""trl's trainer, imported without Weights & Biases."""

from __future__ import annotations

import transformers

# To see whether it is there, trl imports it: three seconds of every start. What uses it here imports it by itself.
transformers.is_wandb_available = lambda: False

from trl import SFTConfig, SFTTrainer  # noqa: E402

__all__ = ["SFTConfig", "SFTTrainer"]
