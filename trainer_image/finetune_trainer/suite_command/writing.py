"""A suite's folder, written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import yaml

from finetune_trainer.suite_command.published.converted import Converted
from finetune_trainer.suites.load import SUITE_FILE, load_suite
from finetune_trainer.suites.model import SuiteError


def write_suite(converted: Converted, folder: Path) -> None:
    """Written beside, checked as any suite is, and then put in its place. SuiteError where the place is taken."""
    if folder.exists():
        raise SuiteError(f"--output: {folder} is there already; name a folder that is not")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _fill(converted, staged)
        load_suite(staged)
        staged.chmod(0o755)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """The whole file or none."""
    staged = path.with_name(f".{path.name}.unfinished")
    try:
        staged.write_text(text, encoding="utf-8")
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def _fill(converted: Converted, folder: Path) -> None:
    document = converted.suite.model_dump(mode="json", by_alias=True, exclude_none=True)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    (folder / SUITE_FILE).write_text(text, encoding="utf-8")
    for task in converted.suite.tasks:
        rows = [each for each in converted.examples if each.task == task.name]
        lines = "".join(each.model_dump_json(by_alias=True, exclude_none=True) + "\n" for each in rows)
        (folder / task.examples).write_text(lines, encoding="utf-8")
