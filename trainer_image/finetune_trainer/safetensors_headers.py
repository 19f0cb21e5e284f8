"""Reads the headers of safetensors files: names and shapes of the weights, and whether the files are whole."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LENGTH_BYTES = 8
_HEADER_LIMIT = 100 * 1024 * 1024

Shapes = Mapping[str, tuple[int, ...]]


class BrokenSafetensorsError(ValueError):
    """A file that is no safetensors file, or not a whole one."""


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in the file, by name; the weights themselves are not read."""
    header, header_length = _read_header(path)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    try:
        data_length = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        shapes = {name: tuple(entry["shape"]) for name, entry in tensors.items()}
    except (KeyError, IndexError, TypeError) as error:
        raise BrokenSafetensorsError(f"{path.name} has a broken header") from error
    expected = _LENGTH_BYTES + header_length + data_length
    actual = path.stat().st_size
    if actual < expected:
        raise BrokenSafetensorsError(f"{path.name} has {actual} bytes of {expected}: it was not copied whole")
    return shapes


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    with path.open("rb") as file:
        start = file.read(_LENGTH_BYTES)
        length = struct.unpack("<Q", start)[0] if len(start) == _LENGTH_BYTES else 0
        if not 2 <= length <= _HEADER_LIMIT:
            raise BrokenSafetensorsError(f"{path.name} is no safetensors file{_pointer_hint(start)}")
        text = file.read(length)
    try:
        header = json.loads(text)
    except ValueError as error:
        raise BrokenSafetensorsError(f"{path.name} has a broken header, or was not copied whole") from error
    if not isinstance(header, dict):
        raise BrokenSafetensorsError(f"{path.name} has a broken header")
    return header, length


def _pointer_hint(start: bytes) -> str:
    return " but a Git LFS pointer: fetch the files with git lfs pull" if start.startswith(b"version") else ""
