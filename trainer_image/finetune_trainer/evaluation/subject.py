"""The model that is evaluated: its files, checked, and their digests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_api.conditions import Reason
from finetune_api.orders import Location, ModelLocation
from finetune_api.quantization import Quantization
from finetune_trainer.base_model import BaseModel, base_model_digest, check_base_model
from finetune_trainer.digests import folder_digest
from finetune_trainer.failures import UserError
from finetune_trainer.locations import resolve_folder
from finetune_trainer.reporting import Reporter
from finetune_trainer.tokenization import Tokenizer

ADAPTER_CONFIG_FILE = "adapter_config.json"
ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors"


@dataclass(frozen=True)
class Subject:
    """A base model, with an adapter or without, in the form that is scored."""

    name: str
    base: BaseModel
    base_digest: str
    adapter: Path | None
    adapter_digest: str | None
    quantization: Quantization

    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.base.folder)

    def end_tokens(self, tokenizer: Tokenizer) -> frozenset[int]:
        """All tokens that end an answer: a chat model may have one for a turn and one for a text."""
        found = {tokenizer.end_token_id} - {None}
        for configuration in (_read_json(self.base.folder / "generation_config.json"), self.base.config):
            value = configuration.get("eos_token_id")
            found.update(value if isinstance(value, list) else [value])
        return frozenset(token for token in found if isinstance(token, int))


class KnownBases:
    """Digests of base models that were read already: base and candidate mostly share one."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._digests: dict[Path, str] = {}

    def digest(self, base: BaseModel) -> str:
        if base.folder not in self._digests:
            self._digests[base.folder] = base_model_digest(base, self._reporter)
        return self._digests[base.folder]


def find_subject(model: ModelLocation, bases: KnownBases) -> Subject:
    """UserError (ModelInvalid) where files are missing, (ContentChanged) where they are not those that were meant."""
    base = _base(model)
    base_digest = bases.digest(base)
    _check_digest("the base model", model.base_model, base_digest, model.base_model_digest)
    adapter = None if model.adapter is None else _adapter_folder(model.adapter)
    adapter_digest = None if adapter is None else folder_digest(adapter)
    if model.adapter is not None:
        _check_digest("the adapter", model.adapter, adapter_digest, model.adapter_digest)
    return Subject(model.name, base, base_digest, adapter, adapter_digest, model.quantization)


def _base(model: ModelLocation) -> BaseModel:
    folder = resolve_folder(model.base_model, Reason.MODEL_INVALID)
    return check_base_model(folder, model.base_model.manifest_field)


def _adapter_folder(location: Location) -> Path:
    folder = resolve_folder(location, Reason.MODEL_INVALID)
    missing = [name for name in (ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE) if not (folder / name).is_file()]
    if missing:
        raise UserError(
            Reason.MODEL_INVALID,
            f"{location.manifest_field}: '{location.path}' is no adapter: {' and '.join(missing)} missing. "
            "Name the folder that a FineTuneJob or peft's save_pretrained wrote",
        )
    return folder


def _check_digest(what: str, location: Location, found: str | None, expected: str | None) -> None:
    if expected is not None and found != expected:
        raise UserError(
            Reason.CONTENT_CHANGED,
            f"{location.manifest_field}: {what} at '{location.path}' has changed: its files have digest {found}, "
            f"expected {expected}. Restore the files, or run the FineTuneJob again on the new ones",
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
