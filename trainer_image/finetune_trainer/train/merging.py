"""Writes the base model with the adapter merged into it, and checks what was written against base and adapter."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from finetune_api.planning import TrainingPlan
from finetune_api.quantization import Quantization
from finetune_trainer.base_model import check_base_model
from finetune_trainer.model_config import CONFIG_FILE
from finetune_trainer.reporting import Reporter
from finetune_trainer.train.devices import Device
from finetune_trainer.train.model import load_base_model
from finetune_trainer.train.tokens import Tokens

LARGEST_SHARE = 0.25
"""Of what the adapter changes. A base that it is not merged into at all is off by all of it, and so is one that it is
merged into twice."""
_ROUNDING = 2**-7
"""Of the largest logit: bfloat16 keeps eight bits of one, and both models round theirs."""
_PROBES = 8
_PROBE_TOKENS = 512
_PROBE_POSITIONS = 64
"""The last of each probe: 8 x 64 logits of 128,256 tokens are 260 MB, and two models' are compared."""
_ROOM = 1.5
"""Quantized and dequantized weights exist side by side for a moment."""


@dataclass(frozen=True)
class Difference:
    """How far the merged model's logits are from those of base and adapter, on the same tokens."""

    largest: float
    changed: float
    """How far the adapter moves the base model's logits, at most."""
    largest_logit: float
    """Of base and adapter, its sign left out."""

    @property
    def limit(self) -> float:
        return LARGEST_SHARE * self.changed + _ROUNDING * self.largest_logit

    @property
    def is_acceptable(self) -> bool:
        """False for NaN, too."""
        return self.largest <= self.limit


@dataclass(frozen=True)
class Reference:
    """What the merged model is held against."""

    logits: torch.Tensor
    """Of base and adapter, shape (positions, vocabulary)."""
    changed: float
    """How far they are from the base model's, at most."""

    def difference(self, merged: torch.Tensor) -> Difference:
        return Difference(_apart(self.logits, merged), self.changed, float(self.logits.abs().max()))


@dataclass(frozen=True)
class Ingredients:
    """What a merged model is made of."""

    base: Path
    adapter: Path
    plan: TrainingPlan
    device: Device


def write_merged(
    ingredients: Ingredients, trained: PeftModel, probes: Tokens, folder: Path, reporter: Reporter
) -> Difference:
    """Into `folder`, in bfloat16. The trained model, which has the adapter attached, is given up for its memory."""
    reporter.stage("merging the adapter")
    reference = reference_of(trained, probes)
    release(trained)
    device = _device(ingredients)
    _save(_merge(ingredients, device), ingredients.base, folder)
    reporter.stage("checking the merged model")
    return reference.difference(_reread_logits(folder, ingredients.plan, device, probes))


def reference_of(trained: PeftModel, probes: Tokens) -> Reference:
    """With the adapter and without it. A model that is kept in parts needs all its processes to compute this."""
    tuned = logits_of(trained, probes)
    with trained.disable_adapter():
        return Reference(tuned, _apart(tuned, logits_of(trained, probes)))


def logits_of(model: torch.nn.Module, probes: Tokens) -> torch.Tensor:
    """Of the last tokens of each of the first examples, shape (positions, vocabulary), on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad():
        pieces = [
            model(tokens.to(device), use_cache=False, logits_to_keep=_PROBE_POSITIONS).logits[0].float().cpu()
            for tokens in _batches(probes)
        ]
    return torch.cat(pieces)


def release(model: torch.nn.Module) -> None:
    """Gives a model's memory back, whoever still holds the model."""
    for module in model.modules():
        module._parameters.clear()
        module._buffers.clear()
        vars(module).pop("state", None)  # where bitsandbytes' 8-bit layers keep theirs
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _batches(probes: Tokens) -> Iterator[torch.Tensor]:
    for start, length in list(zip(probes.starts, probes.lengths, strict=True))[:_PROBES]:
        yield torch.from_numpy(probes.values[start : start + min(length, _PROBE_TOKENS)]).long()[None]


def _device(ingredients: Ingredients) -> Device:
    """The GPU, where the dequantized model fits on it; a quantized one may be there because it would not."""
    if not ingredients.device.is_gpu:
        return ingredients.device
    weights = check_base_model(ingredients.base, "spec.baseModel").weight_files
    free, _ = torch.cuda.mem_get_info(ingredients.device.name)
    return ingredients.device if sum(path.stat().st_size for path in weights) * _ROOM < free else Device("cpu")


def _merge(ingredients: Ingredients, device: Device) -> PreTrainedModel:
    """Into the weights that the adapter was trained beside: merged into the original ones it would be off by what
    quantization changed, and quantized again it would lose what was learnt (logits off by 0.115 and 0.090, not 0.008).
    """
    plan = ingredients.plan
    base = load_base_model(ingredients.base, plan.quantization, plan.precision, device, plan.attention)
    if plan.quantization is not Quantization.NONE:
        base = base.dequantize(torch.bfloat16)
    return PeftModel.from_pretrained(base, str(ingredients.adapter)).merge_and_unload().to(torch.bfloat16)


def _save(model: PreTrainedModel, base: Path, folder: Path) -> None:
    """Weights, and what belongs to them of the base model's folder: its tokenizer and chat template."""
    model.save_pretrained(folder)
    checked = check_base_model(base, "spec.baseModel")
    for path in checked.files:
        if path not in checked.weight_files and path.name != CONFIG_FILE and not path.name.endswith(".index.json"):
            shutil.copy(path, folder)
    release(model)


def _reread_logits(folder: Path, plan: TrainingPlan, device: Device, probes: Tokens) -> torch.Tensor:
    """Of the files as they were written: a fault in writing them is found as well."""
    merged = load_base_model(folder, Quantization.NONE, plan.precision, device, plan.attention)
    logits = logits_of(merged, probes)
    release(merged)
    return logits


def _apart(some: torch.Tensor, others: torch.Tensor) -> float:
    return float((some - others).abs().max())
