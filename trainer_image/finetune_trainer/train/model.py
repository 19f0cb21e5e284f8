"""Loads a base model in the form in which it is trained and scored."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from finetune_api.conditions import Reason
from finetune_api.quantization import Attention, Precision, Quantization
from finetune_trainer.failures import UserError
from finetune_trainer.planning.attention import check_device, check_package
from finetune_trainer.train.devices import Device

_REMEDY = "copy the model's folder anew, whole, with the config.json that belongs to its weights"
_TYPES = {Precision.BFLOAT16: torch.bfloat16, Precision.FLOAT32: torch.float32}


def load_base_model(
    folder: Path,
    quantization: Quantization,
    precision: Precision,
    device: Device,
    attention: Attention | None = None,
    loaded_to: Device | None = None,
    manifest_field: str = "spec.baseModel",
) -> PreTrainedModel:
    """Safetensors only, from the folder only, and no code that the folder may bring. Without an attention it is the
    fastest that the model has and every device can. `loaded_to` says where it is put at first, when that is not the
    device that it computes on. UserError (ModelInvalid) names the field of the manifest and what is wrong with the
    weights."""
    check_device(attention, precision, has_gpu=device.is_gpu)
    check_package(attention)
    transformers_logging.disable_progress_bar()
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=_TYPES[precision],
            quantization_config=_quantization_config(quantization, precision),
            device_map={"": (loaded_to or device).name},
            attn_implementation=None if attention is None else attention.value,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            # They are refused below, by name; otherwise only the log would tell which they are.
            ignore_mismatched_sizes=True,
        )
    except (ValueError, KeyError, ImportError) as error:
        message = f"{manifest_field}: the base model cannot be loaded: {error}; {_REMEDY}"
        raise UserError(Reason.MODEL_INVALID, message) from error
    _refuse_missing(loading["missing_keys"], manifest_field)
    _refuse_misshapen([*loading["mismatched_keys"], *_misshapen_quantized(model)], manifest_field)
    if quantization is Quantization.NF4:
        _keep_precision_on_cpu(model)
    return model


def _keep_precision_on_cpu(model: PreTrainedModel) -> None:
    """Where a CPU multiplies in bfloat16, bitsandbytes would rewrite 4-bit weights at the first evaluation, in place:
    from then on everything is computed in bfloat16 whatever was asked for, the training's next steps too, through which
    no gradient would flow."""
    # Only a quantized model needs what takes seconds to import.
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _refuse_missing(names: Collection[str], manifest_field: str) -> None:
    """transformers would go on with random ones. What is tied to another weight does not count as missing."""
    if names:
        message = f"{manifest_field}: the base model lacks {len(names)} weights, such as {min(names)}; {_REMEDY}"
        raise UserError(Reason.MODEL_INVALID, message)


def _refuse_misshapen(weights: Collection[tuple[str, Sequence[int], Sequence[int]]], manifest_field: str) -> None:
    """Each by its name, its shape in the files, and that of the model which config.json describes."""
    if weights:
        name, found, expected = min(weights)
        raise UserError(
            Reason.MODEL_INVALID,
            f"{manifest_field}: {len(weights)} weights of the base model are not of the size that config.json tells "
            f"of, such as {name}: {list(found)}, not {list(expected)}; {_REMEDY}",
        )


def _misshapen_quantized(model: PreTrainedModel) -> Iterator[tuple[str, Sequence[int], Sequence[int]]]:
    """Which transformers does not compare."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            packed = getattr(module.weight, "quant_state", None)
            found = tuple(module.weight.shape if packed is None else packed.shape)
            if found != (module.out_features, module.in_features):
                yield f"{name}.weight", found, (module.out_features, module.in_features)


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
