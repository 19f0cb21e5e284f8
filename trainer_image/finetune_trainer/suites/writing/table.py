"""Reads tables of sentences: one to a line, so that they can be read and compared as plain text."""

from __future__ import annotations


def rows(text: str) -> tuple[str, ...]:
    """The lines, without empty ones and notes that start with #."""
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def groups(text: str) -> tuple[tuple[str, ...], ...]:
    """The lines of each block between empty lines."""
    return tuple(rows(block) for block in text.strip().split("\n\n"))
