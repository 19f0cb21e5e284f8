"""Reads a published file whatever it is kept in: CSV, JSON, JSON lines or Parquet. SuiteError names file and line."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune_trainer.suites.model import SuiteError

LARGEST_FILE = 512 * 1024 * 1024
_ZIP, _PARQUET = b"PK\x03\x04", b"PAR1"
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7-Zip"}
_AS_PUBLISHED = "take the file as it was published, whole: docs/suites.md tells its forms"

Row = tuple[str, Mapping[str, Any]]
"""The place, for messages, and the columns by their names in lower case."""


def is_zip(path: Path) -> bool:
    return _beginning(path) == _ZIP


def is_parquet(path: Path) -> bool:
    return _beginning(path) == _PARQUET


def member(path: Path, name: str) -> str:
    """The text of the file of that name in a zip archive, in whichever folder it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = [each for each in archive.infolist() if _is_named(each.filename, name)]
            if not found:
                raise SuiteError(f"{path.name}: no {name} in it; unpack the archive and name the file that you want")
            with archive.open(found[0]) as stream:
                # The archive's own word on the size is not to be trusted: a bomb states a small one.
                content = stream.read(LARGEST_FILE + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise SuiteError(f"{path.name}: no zip archive that can be read ({error}); unpack it by hand") from error
    if len(content) > LARGEST_FILE:
        raise SuiteError(f"{path.name}: {name} unpacks to more than {LARGEST_FILE // 2**20} MiB; is it the right file?")
    return _decoded(content)


def text(path: Path) -> str:
    """The file as UTF-8, else as latin-1: older data sets are written in it, and every byte of it is a letter."""
    if path.stat().st_size > LARGEST_FILE:
        raise SuiteError(f"{path.name}: larger than {LARGEST_FILE // 2**20} MiB; split it")
    packed = next((name for magic, name in _PACKED.items() if path.read_bytes()[:8].startswith(magic)), None)
    if packed is not None or is_zip(path):
        raise SuiteError(f"{path.name}: packed with {packed or 'zip'}; unpack it first")
    return _decoded(path.read_bytes())


def document(path: Path) -> Any:
    """A JSON document. JSON lines are a list of their objects, as data sets are exported with the ending .json, too."""
    content = text(path)
    if path.suffix.lower() == ".jsonl":
        return _json_lines(path.name, content)
    try:
        return json.loads(content)
    except RecursionError as error:
        raise SuiteError(f"{path.name}: not usable JSON: nested too deeply; {_AS_PUBLISHED}") from error
    except ValueError as error:
        if "Extra data" in str(error):
            return _json_lines(path.name, content)
        raise SuiteError(f"{path.name}: not valid JSON: {error}; {_AS_PUBLISHED}") from error


def table(path: Path) -> Iterator[Row]:
    """The rows of a table, of any of the kinds."""
    if is_parquet(path):
        yield from _named(f"{path.name}, row", enumerate(_parquet(path), start=1))
    elif path.suffix.lower() == ".csv":
        yield from _named(f"{path.name}, line", _with_header(path))
    else:
        yield from _named(f"{path.name}, entry", enumerate(_list(path), start=1))


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines, not of white space alone, and their cells."""
    reader = csv.reader(io.StringIO(text(path), newline=""))
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise SuiteError(f"{path.name}, line {reader.line_num}: not valid CSV: {error}") from error


def column(place: str, row: Mapping[str, Any], *names: str) -> Any:
    """The first of these columns that the row has. SuiteError where it has none, or nothing in it."""
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        there = ", ".join(map(str, row)) or "none"
        raise SuiteError(f"{place}: no column {' or '.join(names)}; there are {there[:200]}")
    return row[name]


def words(place: str, row: Mapping[str, Any], *names: str) -> str:
    """Such a column where it must be text."""
    value = column(place, row, *names)
    if not isinstance(value, str) or not value.strip():
        raise SuiteError(f"{place}: {names[0]}: expected text, found {json.dumps(value, default=str)[:80]}")
    return value.strip()


def _with_header(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    lines = csv_rows(path)
    _, header = next(lines, (1, []))
    for number, cells in lines:
        if len(cells) != len(header):
            raise SuiteError(
                f"{path.name}, line {number}: {len(cells)} columns, the first line has {len(header)}; put text with "
                "commas in double quotes"
            )
        yield number, dict(zip(header, cells, strict=True))


def _list(path: Path) -> Sequence[Any]:
    found = document(path)
    if not isinstance(found, list):
        raise SuiteError(f"{path.name}: expected a list of objects, or one object a line; {_AS_PUBLISHED}")
    return found


def _json_lines(name: str, content: str) -> list[Any]:
    found = []
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise SuiteError(f"{name}, line {number}: not valid JSON: {error}; {_AS_PUBLISHED}") from error
    return found


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise SuiteError(f"{path.name}: reading Parquet needs pyarrow; install it, or export as CSV or JSON") from error
    try:
        with parquet.ParquetFile(path) as file:
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            if sum(group.total_byte_size for group in groups) > LARGEST_FILE:
                raise SuiteError(f"{path.name}: unpacks to more than {LARGEST_FILE // 2**20} MiB; split it")
            for batch in file.iter_batches(batch_size=1000):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise SuiteError(f"{path.name}: no Parquet file that can be read: {error}; {_AS_PUBLISHED}") from error


def _named(prefix: str, rows: Iterable[tuple[int, Any]]) -> Iterator[Row]:
    for number, row in rows:
        if not isinstance(row, Mapping):
            raise SuiteError(f"{prefix} {number}: expected an object with named fields; {_AS_PUBLISHED}")
        yield f"{prefix} {number}", {str(name).strip().lower(): value for name, value in row.items()}


def _is_named(member_name: str, name: str) -> bool:
    """Not what macOS puts beside each file of an archive."""
    folder, _, last = member_name.rpartition("/")
    return last == name and not folder.startswith("__MACOSX")


def _beginning(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(4)


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
