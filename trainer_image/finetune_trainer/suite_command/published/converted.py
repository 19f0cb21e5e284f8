"""What a converter makes of published files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_trainer.suites.model import Example, Suite, SuiteError


@dataclass(frozen=True)
class Converted:
    """A suite that came from elsewhere. Its examples go to the file that their task names."""

    suite: Suite
    examples: Sequence[Example]
    left_out: tuple[str, ...] = ()
    """What contradicts itself, with its place."""


def suite_of(name: str, title: str, tasks: Sequence[Mapping[str, Any]]) -> Suite:
    if not tasks:
        raise SuiteError(f"{title}: the files hold no example")
    return Suite.model_validate({"name": name, "version": "1", "title": title, "tasks": tasks})


def task_of(name: str, title: str, scorer: Mapping[str, Any], tokens: int) -> Mapping[str, Any]:
    return {"name": name, "title": title, "scorer": scorer, "maxNewTokens": tokens, "examples": f"{name}.jsonl"}
