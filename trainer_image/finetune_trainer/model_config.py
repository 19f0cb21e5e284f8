"""Reads a model's config.json, and refuses models that cannot be trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune_trainer.known_architectures import causal_model_types

CONFIG_FILE = "config.json"


class UnusableModelError(ValueError):
    """Why a folder cannot be used as a base model."""


def read_config(folder: Path) -> Mapping[str, Any]:
    """UnusableModelError says what is missing, or why the model cannot be trained."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise UnusableModelError(f"the folder has no {CONFIG_FILE}, so it is no model; it holds {names_in(folder)}")
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise UnusableModelError(f"{CONFIG_FILE} is not JSON: {error}") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise UnusableModelError(f"{CONFIG_FILE} names no model_type")
    _refuse_what_cannot_be_trained(config)
    return config


def _refuse_what_cannot_be_trained(config: Mapping[str, Any]) -> None:
    architecture = next(iter(config.get("architectures") or ()), "")
    if architecture and not architecture.endswith(("ForCausalLM", "LMHeadModel")):
        raise UnusableModelError(f"the model is a {architecture}; only causal language models can be fine-tuned")
    known = causal_model_types()
    if known and config["model_type"] not in known:
        raise UnusableModelError(
            f"the model type '{config['model_type']}' is not one that the trainer's transformers knows; code that a "
            "model's folder brings is never run"
        )
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "some method")
        raise UnusableModelError(
            f"the weights are already quantized ({method}): give the model as it was published, in bfloat16 or "
            "float16, and let spec.quantization quantize it"
        )


def names_in(folder: Path) -> str:
    """Some of a folder's files, for a message."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return ", ".join(names[:8]) or "nothing"
