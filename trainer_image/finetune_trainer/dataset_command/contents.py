"""Reads what a dataset holds, from a file or from a folder of parts, whatever the whitespace of its JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.dataset.examples import Conversation, Example, to_line
from finetune_trainer.dataset.reading import NotJsonLinesError, ReadDataset, read_dataset
from finetune_trainer.dataset_command.errors import InputError
from finetune_trainer.dataset_command.parts import Part
from finetune_trainer.digests import text_digest


@dataclass(frozen=True)
class Entry:
    """An example, and where it stands."""

    prompt: str
    """All that comes before the answer, in canonical form."""
    answer: str
    line: str
    """All of it in canonical form."""
    number: int
    part: Part | None
    """None in a dataset that has no parts."""


@dataclass(frozen=True)
class Contents:
    """All examples of a dataset, in their order."""

    path: Path
    entries: tuple[Entry, ...]

    @property
    def digest(self) -> str:
        """sha256 of the canonical examples, part by part."""
        return text_digest("".join(f"{entry.part or ''}\t{entry.line}\n" for entry in self.entries))


def read_contents(path: Path) -> Contents:
    """A JSONL file; or a folder with train.jsonl, as `generate` and the step `prepare` leave one. InputError."""
    if not path.is_dir():
        return Contents(path, tuple(_entries(path, None)))
    files = [(part, path / f"{part}.jsonl") for part in Part]
    if not files[0][1].is_file():
        raise InputError(f"{path} is a folder without train.jsonl: name a file, or the folder that prepare left")
    return Contents(path, tuple(entry for part, file in files if file.is_file() for entry in _entries(file, part)))


def _entries(path: Path, part: Part | None) -> Iterator[Entry]:
    for numbered in _read(path).examples:
        prompt, answer = _halves(numbered.example)
        yield Entry(prompt, answer, to_line(numbered.example), numbered.line, part)


def _read(path: Path) -> ReadDataset:
    try:
        dataset = read_dataset(path)
    except (OSError, NotJsonLinesError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if dataset.problems:
        more = f", and {len(dataset.problems) - 1} more" if len(dataset.problems) > 1 else ""
        raise InputError(f"{path}: {dataset.problems[0]}{more}")
    return dataset


def _halves(example: Example) -> tuple[str, str]:
    if isinstance(example, Conversation):
        *before, answer = example.messages
        return json.dumps(before, ensure_ascii=False), answer["content"]
    return example.prompt, example.completion
