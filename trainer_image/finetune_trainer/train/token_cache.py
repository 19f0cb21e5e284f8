"""Tokens of the prepared examples, kept beside the checkpoints: an attempt that goes on does not tokenize again."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from finetune_trainer.artifacts import fsync_path
from finetune_trainer.dataset.examples import from_line
from finetune_trainer.digests import document_digest, file_digest
from finetune_trainer.prepare_training import TRAIN_FILE, VALIDATION_FILE
from finetune_trainer.tokenization import TOKENIZER_FILE, Tokenizer
from finetune_trainer.train.tokens import Numbers, Tokens

CACHE_FILE = "tokens.safetensors"
_DECISIVE_FILES = (TOKENIZER_FILE, "tokenizer_config.json", "chat_template.jinja")
"""What of a model's folder decides about the tokens: the two latter hold the template and the special tokens."""
_PARTS = ("values", "lengths", "prompt_lengths")


@dataclass(frozen=True)
class TokenizedExamples:
    """What is learnt from, and what is held out."""

    train: Tokens
    validation: Tokens


def tokenized_examples(
    prepared_folder: Path, model_folder: Path, sequence_length: int, cache_folder: Path
) -> TokenizedExamples:
    """From the cache where it holds the tokens of these examples, this tokenizer, template and length."""
    key = _key(prepared_folder, model_folder, sequence_length)
    path = cache_folder / CACHE_FILE
    cached = _read(path, key)
    if cached is None:
        cached = _tokenize(prepared_folder, Tokenizer.load(model_folder), sequence_length)
        _write(path, key, cached)
    return cached


def _key(prepared_folder: Path, model_folder: Path, sequence_length: int) -> str:
    inputs = [prepared_folder / TRAIN_FILE, prepared_folder / VALIDATION_FILE]
    inputs += [path for name in _DECISIVE_FILES if (path := model_folder / name).is_file()]
    return document_digest({"length": sequence_length, "files": {path.name: file_digest(path) for path in inputs}})


def _tokenize(prepared_folder: Path, tokenizer: Tokenizer, sequence_length: int) -> TokenizedExamples:
    def tokens_of(file: str) -> Tokens:
        with (prepared_folder / file).open(encoding="utf-8") as lines:
            return Tokens.of(tokenizer.encode_example(from_line(line)).cut(sequence_length) for line in lines)

    return TokenizedExamples(tokens_of(TRAIN_FILE), tokens_of(VALIDATION_FILE))


def _read(path: Path, key: str) -> TokenizedExamples | None:
    """None when there is none, or one of something else, or a damaged one."""
    try:
        with safe_open(path, framework="numpy") as file:
            said = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dictionary)
    except (OSError, SafetensorError):
        return None
    if said != {"key": key, "content": _content_digest(arrays)}:
        return None
    return _from_arrays(lambda name: arrays[name])


def _write(path: Path, key: str, examples: TokenizedExamples) -> None:
    arrays = _to_arrays(examples)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        save_file(arrays, aside, metadata={"key": key, "content": _content_digest(arrays)})
        fsync_path(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _to_arrays(examples: TokenizedExamples) -> dict[str, Numbers]:
    parts = {"train": examples.train, "validation": examples.validation}
    return {f"{part}.{name}": getattr(tokens, name) for part, tokens in parts.items() for name in _PARTS}


def _from_arrays(array: Callable[[str], Numbers]) -> TokenizedExamples:
    train, validation = (Tokens(*(array(f"{part}.{name}") for name in _PARTS)) for part in ("train", "validation"))
    return TokenizedExamples(train, validation)


def _content_digest(arrays: dict[str, Numbers]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name}:{arrays[name].shape}:".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
