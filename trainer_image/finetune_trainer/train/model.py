"""Loads a base model in the form in which it is trained and scored."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from finetune_api.conditions import Reason
from finetune_api.quantization import Attention, Precision, Quantization
from finetune_trainer.failures import UserError
from finetune_trainer.planning.attention import check_device, check_package
from finetune_trainer.train.devices import Device

_TYPES = {Precision.BFLOAT16: torch.bfloat16, Precision.FLOAT32: torch.float32}


def load_base_model(
    folder: Path,
    quantization: Quantization,
    precision: Precision,
    device: Device,
    attention: Attention | None = None,
    loaded_to: Device | None = None,
) -> PreTrainedModel:
    """Safetensors only, from the folder only, and no code that the folder may bring. Without an attention it is the
    fastest that the model has and every device can. `loaded_to` says where it is put at first, when that is not the
    device that it computes on."""
    check_device(attention, precision, has_gpu=device.is_gpu)
    check_package(attention)
    transformers_logging.disable_progress_bar()
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=_TYPES[precision],
            quantization_config=_quantization_config(quantization, precision),
            device_map={"": (loaded_to or device).name},
            attn_implementation=None if attention is None else attention.value,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (ValueError, KeyError, ImportError) as error:
        raise UserError(Reason.MODEL_INVALID, f"the base model cannot be loaded: {error}") from error


def _quantization_config(quantization: Quantization, precision: Precision) -> BitsAndBytesConfig | None:
    if quantization is Quantization.INT8:
        return BitsAndBytesConfig(load_in_8bit=True)
    if quantization is Quantization.NF4:
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=_TYPES[precision],
        )
    return None
