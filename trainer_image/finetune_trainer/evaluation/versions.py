"""Versions of the libraries that answers come from, read from their metadata: importing them takes seconds."""

from __future__ import annotations

from importlib.metadata import version

_LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "tokenizers")


def library_versions() -> dict[str, str]:
    return {library: version(library) for library in _LIBRARIES}
