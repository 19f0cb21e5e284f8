"""The training split as hashes, beside the prepared dataset: a suite that is chosen later is checked against it.

The file: the magic `FTSHNGL1`, then for each row, in the split's order, three little-endian fields and two arrays:
question u64, figures u64, number of shingles u32, number of 13-grams u32; the shingles u64 each; the 13-grams u64 each.
Hashes are `grams`': 61 bits, of canonical text, the same in every process. It holds no text.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from finetune_trainer.dataset.quality.fingerprints import Fingerprint

INDEX_FILE = "train.shingles"
_MAGIC = b"FTSHNGL1"
_ROW = struct.Struct("<QQII")
_HASH_BYTES = 8


class BadIndexError(ValueError):
    """The file is cut off, or another one."""


def write_index(path: Path, rows: Iterable[Fingerprint]) -> None:
    with path.open("wb") as file:
        file.write(_MAGIC)
        for row in rows:
            file.write(_ROW.pack(row.question, row.figures, len(row.shingles), len(row.ngrams)))
            file.write(_little_endian(row.shingles).tobytes())
            file.write(_little_endian(row.ngrams).tobytes())


def read_index(path: Path) -> Iterator[Fingerprint]:
    """The rows, one after the other: an index of any size takes no memory. BadIndexError where it is broken."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise BadIndexError(f"{path.name} is no index of shingles")
        while start := file.read(_ROW.size):
            if len(start) < _ROW.size:
                raise BadIndexError(f"{path.name} is cut off")
            question, figures, shingles, ngrams = _ROW.unpack(start)
            yield Fingerprint(question, figures, _hashes(file, path, shingles), _hashes(file, path, ngrams))


def _hashes(file: BinaryIO, path: Path, count: int) -> array[int]:
    content = file.read(count * _HASH_BYTES)
    if len(content) < count * _HASH_BYTES:
        raise BadIndexError(f"{path.name} is cut off")
    return _little_endian(array("Q", content))


def _little_endian(hashes: array[int]) -> array[int]:
    if sys.byteorder == "big":
        hashes = array("Q", hashes)
        hashes.byteswap()
    return hashes
