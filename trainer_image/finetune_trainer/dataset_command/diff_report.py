"""The differences of two datasets, as a table to read or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from finetune_trainer.dataset_command.contents import Contents, Entry
from finetune_trainer.dataset_command.differences import Differences, Pair

_EXAMPLES = 3
_WIDTH = 100


@dataclass(frozen=True)
class DiffReport:
    """Two datasets and what is between them."""

    before: Contents
    after: Contents
    found: Differences

    def to_json(self) -> str:
        found = self.found
        document = {
            "same": not found,
            "before": _side(self.before),
            "after": _side(self.after),
            "counts": self._counts(),
            "added": [_entry(entry) for entry in found.added[:_EXAMPLES]],
            "removed": [_entry(entry) for entry in found.removed[:_EXAMPLES]],
            "changed": [_changed(pair) for pair in found.changed[:_EXAMPLES]],
            "moved": [_moved(pair) for pair in found.moved[:_EXAMPLES]],
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    def to_table(self) -> str:
        return "\n".join(self._lines())

    def _counts(self) -> dict[str, int]:
        found = self.found
        return {
            "same": found.same,
            "added": len(found.added),
            "removed": len(found.removed),
            "changed": len(found.changed),
            "moved": len(found.moved),
            "reordered": found.reordered,
        }

    def _lines(self) -> Iterator[str]:
        for name, contents in (("before", self.before), ("after", self.after)):
            yield f"{name:<10} {contents.path}  {len(contents.entries)} examples  {contents.digest}"
        for name, count in self._counts().items():
            yield f"{name:<10} {count}"
        found = self.found
        yield from (f"+ {_short(entry.prompt)} -> {_short(entry.answer)}" for entry in found.added[:_EXAMPLES])
        yield from (f"- {_short(entry.prompt)} -> {_short(entry.answer)}" for entry in found.removed[:_EXAMPLES])
        for before, after in found.changed[:_EXAMPLES]:
            yield f"~ {_short(before.prompt)} -> {_short(before.answer)} | {_short(after.answer)}"
        for before, after in found.moved[:_EXAMPLES]:
            yield f"> {_short(before.prompt)}: {before.part} | {after.part}"


def _side(contents: Contents) -> dict[str, Any]:
    return {"path": str(contents.path), "examples": len(contents.entries), "digest": contents.digest}


def _entry(entry: Entry) -> dict[str, Any]:
    return {"line": entry.number, "prompt": entry.prompt, "answer": entry.answer}


def _changed(pair: Pair) -> dict[str, Any]:
    before, after = pair
    return {**_entry(before), "newLine": after.number, "newAnswer": after.answer}


def _moved(pair: Pair) -> dict[str, Any]:
    before, after = pair
    return {**_entry(before), "from": before.part, "to": after.part}


def _short(text: str) -> str:
    """One line of it: the end of a prompt, which tells prompts apart, where the instruction is the same."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _WIDTH else f"...{flat[-_WIDTH:]}"
