"""sha256 digests of texts, files and folders, written `sha256:<hexadecimal>`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

PREFIX = "sha256:"
_CHUNK_BYTES = 4 * 1024 * 1024


def text_digest(text: str) -> str:
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()


def document_digest(document: Any) -> str:
    """Digest of a JSON document, whatever the order of its keys."""
    return text_digest(json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def file_digest(path: Path, on_bytes: Callable[[int], object] | None = None) -> str:
    """Digest of a file's content; `on_bytes` hears of every chunk that was read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            if on_bytes is not None:
                on_bytes(len(chunk))
    return PREFIX + digest.hexdigest()


def files_below(folder: Path) -> tuple[Path, ...]:
    """All files of a folder and its subfolders, sorted by their relative path; folders are never links."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return tuple(sorted(found, key=lambda path: path.relative_to(folder).as_posix()))


def digests_of_files(
    folder: Path, files: Iterable[Path], on_bytes: Callable[[int], object] | None = None
) -> dict[str, str]:
    """Digest of each file, by its path relative to the folder."""
    return {path.relative_to(folder).as_posix(): file_digest(path, on_bytes) for path in files}


def combined_digest(digests: dict[str, str]) -> str:
    """One digest for many files: over their sorted relative paths and their contents' digests."""
    return text_digest("".join(f"{digests[path]}  {path}\n" for path in sorted(digests)))


def folder_digest(folder: Path) -> str:
    """One digest for everything in a folder."""
    return combined_digest(digests_of_files(folder, files_below(folder)))
