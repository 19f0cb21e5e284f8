"""Checks a base model's folder without loading it: everything that can be said before a GPU is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_api.conditions import Reason
from finetune_trainer.described_weights import check_weights
from finetune_trainer.digests import combined_digest, digests_of_files
from finetune_trainer.failures import UserError
from finetune_trainer.model_config import CONFIG_FILE, UnusableModelError, names_in, read_config
from finetune_trainer.reporting import Reporter
from finetune_trainer.safetensors_headers import BrokenSafetensorsError, Shapes, read_shapes
from finetune_trainer.stopping import STOP
from finetune_trainer.tokenization import TOKENIZER_FILE

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TOKENIZER_SOURCES = ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_MODEL_FILES = (
    CONFIG_FILE,
    INDEX_FILE,
    TOKENIZER_FILE,
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)


@dataclass(frozen=True)
class BaseModel:
    """A base model's folder that holds what it takes."""

    folder: Path
    config: Mapping[str, Any]
    shapes: Shapes
    """Shape of each weight, by name."""
    weight_files: tuple[Path, ...]
    manifest_field: str
    """Where the manifest names it."""

    @property
    def embedded_tokens(self) -> int | None:
        """How many tokens the model knows."""
        size = self.config.get("vocab_size")
        return size if isinstance(size, int) else None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that make the model what it is; a README or a download cache beside them does not."""
        described = (self.folder / name for name in _MODEL_FILES)
        return tuple(sorted({*self.weight_files, *(path for path in described if path.is_file())}))


def check_base_model(folder: Path, manifest_field: str) -> BaseModel:
    """UserError (ModelInvalid) names the field of the manifest and says what is missing."""
    try:
        config = read_config(folder)
        weight_files = _weight_files(folder)
        shapes = _shapes(weight_files)
        check_weights(config, shapes)
        _check_tokenizer(folder)
    except (UnusableModelError, BrokenSafetensorsError) as error:
        raise UserError(Reason.MODEL_INVALID, f"{manifest_field}: {error}") from error
    return BaseModel(folder, config, shapes, weight_files, manifest_field)


def base_model_digest(model: BaseModel, reporter: Reporter) -> str:
    """sha256 over the model's files; reports progress, for this reads all weights."""
    reporter.stage("reading the base model")
    total = sum(path.stat().st_size for path in model.files)
    done = 0

    def count(read: int) -> None:
        nonlocal done
        done += read
        STOP.raise_if_requested()
        reporter.progress(done >> 20, total >> 20)

    return combined_digest(digests_of_files(model.folder, model.files, count))


def _weight_files(folder: Path) -> tuple[Path, ...]:
    index = folder / INDEX_FILE
    if index.is_file():
        return _indexed_files(index)
    weights = folder / WEIGHTS_FILE
    if weights.is_file():
        return (weights,)
    raise UnusableModelError(_why_no_weights(folder))


def _indexed_files(index: Path) -> tuple[Path, ...]:
    try:
        weight_map = json.loads(index.read_text())["weight_map"]
        names = sorted(set(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableModelError(f"{INDEX_FILE} is broken: {error}") from error
    if any(Path(name).name != name for name in names):
        raise UnusableModelError(f"{INDEX_FILE} names files outside of the folder")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise UnusableModelError(f"{len(missing)} of {len(names)} weight files are missing, such as {missing[0]}")
    return tuple(index.parent / name for name in names)


def _why_no_weights(folder: Path) -> str:
    if any(folder.glob("*.safetensors")):
        return f"the folder has safetensors files, but neither {WEIGHTS_FILE} nor {INDEX_FILE}"
    if any(path for pattern in _PICKLES for path in folder.glob(pattern)):
        return (
            "the weights are pickles, which can run code when they are read, so they are refused: save the model "
            "as safetensors (save_pretrained of a current transformers does)"
        )
    if any(folder.glob("*.gguf")):
        return "the folder holds a GGUF file: turn it into safetensors (python3 -m finetune_trainer import-gguf --help)"
    return f"the folder has no safetensors weights; it holds {names_in(folder)}"


def _shapes(weight_files: tuple[Path, ...]) -> Shapes:
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files:
        shapes.update(read_shapes(path))
    if not shapes:
        raise UnusableModelError("the weight files hold no weights")
    return shapes


def _check_tokenizer(folder: Path) -> None:
    if (folder / TOKENIZER_FILE).is_file():
        return
    other = next((name for name in _TOKENIZER_SOURCES if (folder / name).is_file()), None)
    if other is not None:
        raise UnusableModelError(
            f"the folder has {other} but no {TOKENIZER_FILE}: make it with "
            "transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    raise UnusableModelError(f"the folder has no tokenizer ({TOKENIZER_FILE}); it holds {names_in(folder)}")
