"""Pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def escaped(text: str) -> str:
    """A title may hold what Markdown or a browser takes for markup."""
    for character in "\\|`*_[]<>":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], words: frozenset[int] = frozenset()) -> str:
    """Cells as they are given; the first column and those of `words` are set left, all others right. Empty without
    rows."""
    if not rows:
        return ""
    rules = ["---" if number in words | {0} else "---:" for number in range(len(headings))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, rules, *rows))


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
