"""Reads the headers of safetensors files: names and shapes of the weights, and whether the files are whole."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LENGTH_BYTES = 8
_HEADER_LIMIT = 100 * 1024 * 1024

_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
}
"""Of one number, by the header's name of its format; sizes of newer formats are not checked."""

Shapes = Mapping[str, tuple[int, ...]]


class BrokenSafetensorsError(ValueError):
    """A file that is no safetensors file, or not a whole one."""


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in the file, by name; the weights themselves are not read."""
    header, header_length = _read_header(path)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    try:
        data_length = _data_length(tensors)
        shapes = {name: tuple(entry["shape"]) for name, entry in tensors.items()}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BrokenSafetensorsError(f"{path.name} has a broken header") from error
    expected = _LENGTH_BYTES + header_length + data_length
    actual = path.stat().st_size
    if actual < expected:
        raise BrokenSafetensorsError(f"{path.name} has {actual} bytes of {expected}: it was not copied whole")
    if actual > expected:
        raise BrokenSafetensorsError(f"{path.name} has {actual} bytes where its header tells of {expected}: damaged")
    return shapes


def _data_length(tensors: Mapping[str, Any]) -> int:
    """Bytes of all tensors, which lie one behind the other. Raises ValueError where one is not of its shape's size,
    which the library that loads them would only say without naming the file."""
    end = 0
    for start, stop, entry in _in_order(tensors):
        size = _BITS.get(entry["dtype"])
        if start != end or (size is not None and (stop - start) * 8 != size * math.prod(entry["shape"])):
            raise ValueError("a tensor is not where it should be")
        end = stop
    return end


def _in_order(tensors: Mapping[str, Any]) -> list[tuple[int, int, Mapping[str, Any]]]:
    placed = [(int(start), int(stop), entry) for entry in tensors.values() for start, stop in [entry["data_offsets"]]]
    return sorted(placed, key=lambda item: item[:2])


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
