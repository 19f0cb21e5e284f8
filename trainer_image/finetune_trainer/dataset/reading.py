"""Reads a JSONL file line by line, and keeps every line that is wrong with its number and cause."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from finetune_trainer.dataset.examples import Example
from finetune_trainer.dataset.shapes import BadExampleError, Document, Shape, example_of, shape_of

LINE_LIMIT_BYTES = 8 * 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FOREIGN_FORMATS = {
    b"\x1f\x8b": "is compressed with gzip: unpack it",
    b"PK\x03\x04": "is a zip archive: unpack it",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd: unpack it",
    b"PAR1": "is in Parquet format: convert it to JSON lines",
    b"\xff\xfe": "is UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text: save it as UTF-8",
}


@dataclass(frozen=True)
class NumberedExample:
    """An example and the line that it came from."""

    line: int
    example: Example


@dataclass(frozen=True)
class LineProblem:
    """A line that cannot be used."""

    line: int
    cause: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.cause}"


@dataclass(frozen=True)
class ReadDataset:
    """All lines, the good ones and the bad ones."""

    shape: Shape | None
    examples: tuple[NumberedExample, ...]
    problems: tuple[LineProblem, ...]


class NotJsonLinesError(ValueError):
    """The file as a whole is something else."""


def read_dataset(path: Path, on_bytes: Callable[[int], object] | None = None) -> ReadDataset:
    """Reads all examples of a file; blank lines are skipped but counted."""
    reader = _Reader()
    with path.open("rb") as file:
        _refuse_foreign_format(file)
        for number, line in enumerate(_lines(file), start=1):
            reader.read(number, line)
            if on_bytes is not None:
                on_bytes(file.tell())
    return reader.dataset()


@dataclass(frozen=True)
class Sample:
    """Some lines of a file, drawn at random."""

    dataset: ReadDataset
    lines: int
    """Lines of the whole file that are not blank."""


def read_sample(path: Path, size: int) -> Sample:
    """At most so many lines of a file, always the same; all of them where it has no more. Only those are parsed.

    Not every so-many-th line: a file that repeats itself would give a sample of a few of its places.
    """
    with path.open("rb") as file:
        _refuse_foreign_format(file)
        start = file.tell()
        lines = sum(1 for line in _lines(file) if line is None or line.strip())
        file.seek(start)
        wanted = random.Random(0).sample(range(lines), min(size, lines))
        return Sample(_read_lines(file, frozenset(wanted)), lines)


def _read_lines(file: BinaryIO, wanted: frozenset[int]) -> ReadDataset:
    reader = _Reader()
    filled = 0
    for number, line in enumerate(_lines(file), start=1):
        if line is None or line.strip():
            if filled in wanted:
                reader.read(number, line)
            filled += 1
    return reader.dataset()


class _Reader:
    """Collects examples and problems; the first good line says which shape the file has."""

    def __init__(self) -> None:
        self._shape: Shape | None = None
        self._shape_line = 0
        self._examples: list[NumberedExample] = []
        self._problems: list[LineProblem] = []

    def read(self, number: int, line: bytes | None) -> None:
        try:
            text = _decoded(line)
            if text.strip():
                self._examples.append(NumberedExample(number, self._example(number, text)))
        except BadExampleError as error:
            self._problems.append(LineProblem(number, str(error)))

    def dataset(self) -> ReadDataset:
        return ReadDataset(self._shape, tuple(self._examples), tuple(self._problems))

    def _example(self, number: int, text: str) -> Example:
        document = _parsed(text)
        shape = shape_of(document)
        if self._shape is not None and shape is not self._shape:
            raise BadExampleError(
                f"the shape is {shape}, but line {self._shape_line} has {self._shape}: use one shape in all lines"
            )
        example = example_of(document, shape)
        if self._shape is None:
            self._shape, self._shape_line = shape, number
        return example


def _refuse_foreign_format(file: BinaryIO) -> None:
    start = file.read(4)
    for magic, what_it_is in _FOREIGN_FORMATS.items():
        if start.startswith(magic):
            raise NotJsonLinesError(f"the file {what_it_is}, with one JSON object a line")
    file.seek(len(_BYTE_ORDER_MARK) if start.startswith(_BYTE_ORDER_MARK) else 0)


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines; None for one that is longer than the limit, whose rest is skipped without being kept."""
    while line := file.readline(LINE_LIMIT_BYTES):
        is_whole = len(line) < LINE_LIMIT_BYTES or line.endswith(b"\n")
        yield line if is_whole else None
        while not is_whole:
            rest = file.readline(LINE_LIMIT_BYTES)
            is_whole = len(rest) < LINE_LIMIT_BYTES or rest.endswith(b"\n")


def _decoded(line: bytes | None) -> str:
    if line is None:
        raise BadExampleError(f"longer than {LINE_LIMIT_BYTES // 2**20} MiB: is there a line break missing?")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise BadExampleError(f"not UTF-8 (byte {line[error.start]:#04x} at position {error.start + 1})") from error


def _parsed(text: str) -> Document:
    try:
        document = json.loads(text.rstrip(), object_pairs_hook=_without_duplicates)
    except BadExampleError:
        raise
    except json.JSONDecodeError as error:
        raise BadExampleError(f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise BadExampleError("not usable JSON: nested too deeply") from error
    except ValueError as error:  # the one JSON that Python does not read
        raise BadExampleError("not usable JSON: a number of thousands of digits: put it in quotes") from error
    if not isinstance(document, dict):
        raise BadExampleError("not a JSON object: each line must be one object in braces")
    return document


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Document:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadExampleError(f"the key '{twice}' is given twice")
    return document
