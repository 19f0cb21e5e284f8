"""Reads a file of predictions; whatever is wrong is said with file and line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from finetune_trainer.compare_command.errors import InputError
from finetune_trainer.digests import PREFIX
from finetune_trainer.suites.json_lines import MAX_LINE_BYTES, Place

MAX_FILE_BYTES = 1024 * 1024 * 1024
MAX_ROWS = 240_000
"""Twelve tasks of as many examples as a suite may have."""

_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}

_REQUIRED = {
    "id": "give each example one of its own, the same in both files",
    "task": "give the name of what was asked, such as eps",
    "group": "name what makes examples alike, such as the company; where nothing does, repeat the id",
}
_REMEDIES = {
    "string_type": "put it in quotation marks",
    "less_than_equal": "a score is a share from 0 to 1, no percentage",
}


def _is_a_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number; write 0, 1 or a number between them")
    return value


Word = Annotated[str, StringConstraints(min_length=1, max_length=256, strip_whitespace=True)]
Score = Annotated[float, BeforeValidator(_is_a_number), Field(ge=0, le=1, allow_inf_nan=False)]
Likelihood = Annotated[float, BeforeValidator(_is_a_number), Field(ge=0, allow_inf_nan=False)]


class Row(BaseModel):
    """One line. What else it says is not looked at, so the predictions of an evaluation can be given as they are."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    id: Word
    task: Word
    group: Word
    pattern: Word | None = None
    score: Score | None = None
    prediction: str | None = None
    reference: str | None = None
    question: str | None = None
    parsed: bool | None = None
    negative_log_likelihood: Likelihood | None = None
    utf8_bytes: Annotated[int, Field(gt=0)] | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is the likelihood of a raw text, not the score of an answer."""
        return self.score is None


@dataclass(frozen=True)
class PlacedRow:
    """A line and where it stands."""

    place: Place
    row: Row


@dataclass(frozen=True)
class RowFile:
    """All lines of a file by their ids, in the file's order."""

    path: Path
    rows: dict[str, PlacedRow]
    digest: str


def read_rows(path: Path) -> RowFile:
    """InputError where the file cannot be read, a line is no prediction, or an id is there twice."""
    rows: dict[str, PlacedRow] = {}
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            for place, line in _lines(stream, str(path)):
                digest.update(line)
                if line.strip():
                    _add(rows, PlacedRow(place, _parse(place, line)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not rows:
        raise InputError(f"{path}: holds no predictions; each line is a JSON object with id, task, group and score")
    return RowFile(path, rows, PREFIX + digest.hexdigest())


def _lines(stream: BinaryIO, file: str) -> Iterator[tuple[Place, bytes]]:
    """Read so that neither a line nor the file can fill the memory."""
    number = total = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        total += len(line)
        if number == 1:
            _check_is_text(file, line)
        if len(line) > MAX_LINE_BYTES:
            raise InputError(f"{Place(file, number)}: longer than 1 MiB; one line holds one prediction")
        if total > MAX_FILE_BYTES or number > MAX_ROWS:
            raise InputError(f"{Place(file, number)}: more than {MAX_ROWS} lines or 1 GiB; compare fewer examples")
        yield Place(file, number), line


def _check_is_text(file: str, start: bytes) -> None:
    kind = next((kind for magic, kind in _PACKED.items() if start.startswith(magic)), None)
    if kind is not None:
        raise InputError(f"{Place(file, 1)}: a {kind} file; unpack it, and give the JSON lines themselves")


def _parse(place: Place, line: bytes) -> Row:
    document = _json(place, line)
    if not isinstance(document, dict):
        raise InputError(f"{place}: not a JSON object; it needs id, task, group and score")
    try:
        row = Row.model_validate(document)
    except pydantic.ValidationError as error:
        raise InputError(f"{place}: {_fault(error)}") from error
    _check_whole(place, row)
    return row


def _fault(error: pydantic.ValidationError) -> str:
    """The first one, with what would be right."""
    fault = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "missing":
        return f"{field}: missing; {_REQUIRED[field]}"
    remedy = _REMEDIES.get(fault["type"])
    said = fault["msg"].removeprefix("Value error, ")
    return f"{field}: {said}" + (f"; {remedy}" if remedy is not None else "")


def _check_whole(place: Place, row: Row) -> None:
    is_likelihood = row.negative_log_likelihood is not None and row.utf8_bytes is not None
    if row.is_text and not is_likelihood:
        raise InputError(f"{place}: score: missing; give 0, 1 or a number between them")
    if row.parsed is False and row.score:
        raise InputError(f"{place}: score: {row.score:g} for an answer that is not parsed; such an answer scores 0")


def _json(place: Place, line: bytes) -> Any:
    try:
        text = line.decode("utf-8-sig")
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_repetition)
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not JSON: {error}; each line is one complete JSON object") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows, nor a score")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key is there twice")
    return {key: _spelled_out(value) for key, value in document.items()}


def _spelled_out(value: Any) -> Any:
    """A lone surrogate, which JSON can spell, is no text that a report could hold."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _add(rows: dict[str, PlacedRow], found: PlacedRow) -> None:
    earlier = rows.setdefault(found.row.id, found)
    if earlier is found:
        return
    what = f"used in line {earlier.place.line} too"
    if earlier.row.task != found.row.task:
        what += f", for the task {earlier.row.task!r} instead of {found.row.task!r}"
    raise InputError(f"{found.place}: id: {found.row.id!r} is {what}; each example needs its own")
