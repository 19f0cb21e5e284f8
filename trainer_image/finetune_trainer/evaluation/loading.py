"""Loads the model that is evaluated."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import cast

from transformers import PreTrainedModel

from finetune_api.conditions import Reason
from finetune_api.quantization import Precision
from finetune_trainer.evaluation.subject import Subject
from finetune_trainer.failures import UserError
from finetune_trainer.train.devices import Device
from finetune_trainer.train.model import load_base_model


def load_subject(subject: Subject, precision: Precision, device: Device) -> PreTrainedModel:
    """The base model, and beside its layers the adapter's: not merged, as merging rounds the base model's weights."""
    base = subject.base
    model = load_base_model(base.folder, subject.quantization, precision, device, manifest_field=base.manifest_field)
    if subject.adapter is not None:
        model = _with_adapter(model, subject.adapter)
    return cast(PreTrainedModel, model.eval())


def _with_adapter(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    # peft, and bitsandbytes with it, take seconds to import, which the evaluation of a base model does without.
    from peft import LoraConfig, PeftConfig, PeftModel

    try:
        config = PeftConfig.from_pretrained(str(adapter))
        if not isinstance(config, LoraConfig):
            raise ValueError(f"it is a {config.peft_type} adapter; only LoRA adapters are evaluated")
        with warnings.catch_warnings():
            # peft only warns and would score the base model in the adapter's name.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            adapted = PeftModel.from_pretrained(model, str(adapter), config=config, low_cpu_mem_usage=False)
    except (ValueError, KeyError, TypeError, RuntimeError, UserWarning) as error:
        message = f"the adapter does not fit the base model: {str(error)[:500]}"
        raise UserError(Reason.MODEL_INVALID, message) from error
    return cast(PreTrainedModel, adapted.get_base_model())
