"""`finetune dataset generate`: writes the parts aside and puts them in their place together, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from finetune_trainer.artifacts import fsync_path
from finetune_trainer.dataset_command.errors import InputError
from finetune_trainer.dataset_command.parts import Part, rows_of
from finetune_trainer.dataset_command.rows import Recipe, rows

_QUIET_SECONDS = 2.0
"""Nothing is said of what takes no longer."""


@dataclass(frozen=True)
class Order:
    """What to write, and where: a folder for all parts, or a file `*.jsonl` for training rows alone."""

    recipe: Recipe
    rows: int
    output: Path

    @property
    def parts(self) -> dict[Part, int]:
        return {Part.TRAIN: self.rows} if self.is_file else rows_of(self.rows)

    @property
    def is_file(self) -> bool:
        return self.output.suffix == ".jsonl"


def generate(order: Order) -> dict[Part, int]:
    """Rows by part. InputError where the output cannot be written, or is there already."""
    output = order.output.absolute()
    if output.exists():
        raise InputError(f"--output: {order.output} is there already: name another place, or remove it")
    if output.suffix == ".json":
        raise InputError(f"--output: {order.output}: a file of rows is called *.jsonl; any other name is a folder's")
    told = _Progress(order.rows)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with _aside(output) as aside:
            for part, wanted in order.parts.items():
                _write(aside / f"{part}.jsonl", order.recipe, part, wanted, told)
            os.rename(aside / "train.jsonl" if order.is_file else aside, output)
        fsync_path(output.parent)
    except OSError as error:
        raise InputError(f"--output: {order.output} cannot be written: {error.strerror or error}") from error
    return order.parts


@contextmanager
def _aside(output: Path) -> Iterator[Path]:
    """A new folder beside the output; whatever is left of it in the end is removed."""
    aside = output.with_name(f".{output.name}.{uuid.uuid4().hex}")
    aside.mkdir()
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(path: Path, recipe: Recipe, part: Part, wanted: int, told: _Progress) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows(recipe, part, wanted):
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            told.one_more()
    fsync_path(path)


class _Progress:
    """A line on stderr each second, for whoever waits."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._done = 0
        self._next = time.monotonic() + _QUIET_SECONDS

    def one_more(self) -> None:
        self._done += 1
        if time.monotonic() >= self._next:
            self._next += 1
            print(f"finetune dataset generate: {self._done} of {self._wanted} rows", file=sys.stderr)
