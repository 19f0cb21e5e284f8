"""What a built-in suite asks how often, without its texts: enough to say what it can detect, in a moment."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from finetune_trainer.suites import model

_SUITE_FILE = "suite.yaml"
_BUILTIN_SUITES = Path(__file__).resolve().parent


def load_outline(builtin: str) -> model.LoadedSuite:
    """Its scored tasks' examples, of which only id, group and pattern are there. Nothing is checked: these files are
    ours, and tested."""
    folder = _BUILTIN_SUITES / builtin
    suite = model.Suite.model_validate(yaml.safe_load((folder / _SUITE_FILE).read_text(encoding="utf-8")))
    examples = {task.name: _examples(folder, task) for task in suite.scored_tasks}
    scored = suite.model_copy(update={"tasks": suite.scored_tasks})
    return model.LoadedSuite(suite=scored, examples=examples, shots=())


def _examples(folder: Path, task: model.Task) -> tuple[model.Example, ...]:
    rows = map(json.loads, (folder / task.examples).read_text(encoding="utf-8").splitlines())
    return tuple(
        model.Example.model_construct(id=row["id"], task=row["task"], group=row["group"], pattern=row.get("pattern"))
        for row in rows
        if row["task"] == task.name
    )
