"""Reads a suite from its folder; whatever is wrong is said with file, line and remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import yaml

from finetune_trainer.scoring import references
from finetune_trainer.suites import model
from finetune_trainer.suites.model import SuiteError

SUITE_FILE = "suite.yaml"
MAX_LINE_BYTES = 1024 * 1024
MAX_EXAMPLES_PER_TASK = 20_000

_BUILTIN_SUITES = Path(__file__).resolve().parent


@dataclass(frozen=True)
class _Place:
    """Where something was read, for messages."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


def builtin_suite_folder(name: str) -> Path:
    """The folder of a suite that ships with the trainer."""
    known = sorted(path.parent.name for path in _BUILTIN_SUITES.glob(f"*/{SUITE_FILE}"))
    if name not in known:
        raise SuiteError(f"suite.builtin: there is no built-in suite {name!r}; choose one of: {', '.join(known)}")
    return _BUILTIN_SUITES / name


def load_suite(folder: Path) -> model.LoadedSuite:
    """The suite in that folder and all its examples, checked."""
    suite = _read_suite(folder)
    by_task: dict[str, list[model.Example]] = {task.name: [] for task in suite.tasks}
    seen: dict[str, _Place] = {}
    for file_name in dict.fromkeys(task.examples for task in suite.tasks):
        for place, example in _read_examples(folder, file_name):
            _check_example(suite, file_name, place, example)
            _check_first_use(seen, place, example)
            by_task[example.task].append(example)
    shots = _read_shots(folder, suite, seen)
    _check_counts(suite, by_task)
    ordered = {name: tuple(sorted(each, key=lambda one: one.id)) for name, each in by_task.items()}
    return model.LoadedSuite(suite=suite, examples=ordered, shots=shots)


def _read_shots(folder: Path, suite: model.Suite, seen: dict[str, _Place]) -> tuple[model.Example, ...]:
    """Their ids must not be used by a scored example: one of both would be the answer to the other."""
    if suite.shots is None:
        return ()
    shots: list[model.Example] = []
    scored = [task.name for task in suite.scored_tasks]
    for place, example in _read_examples(folder, suite.shots):
        if example.task not in scored:
            raise SuiteError(f"{place}: task: {example.task!r} shows no answers; it must be {' or '.join(scored)}")
        _check_content(suite.task(example.task), place, example)
        _check_first_use(seen, place, example)
        shots.append(example)
    return tuple(shots)


def _read_suite(folder: Path) -> model.Suite:
    path = folder / SUITE_FILE
    if not path.is_file():
        raise SuiteError(f"{path}: no such file; a suite is a folder with a {SUITE_FILE} and the .jsonl files it names")
    if path.stat().st_size > MAX_LINE_BYTES:
        raise SuiteError(f"{SUITE_FILE}: larger than 1 MiB; keep the examples in .jsonl files")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SuiteError(f"{SUITE_FILE}: not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise SuiteError(f"{SUITE_FILE}: expected a mapping with name, version, title and tasks")
    try:
        return model.Suite.model_validate(document)
    except pydantic.ValidationError as error:
        raise SuiteError(f"{SUITE_FILE}: {_first_fault(error)}") from error


def _read_examples(folder: Path, file_name: str) -> Iterator[tuple[_Place, model.Example]]:
    path = _inside(folder, file_name)
    for number, line in _lines(path, file_name):
        place = _Place(file_name, number)
        yield place, _parse_example(place, line)


def _inside(folder: Path, file_name: str) -> Path:
    if "\0" in file_name:
        raise SuiteError(f"{SUITE_FILE}: examples: {file_name!r} names no file; a name has no NUL in it")
    root, path = folder.resolve(), (folder / file_name).resolve()
    if not path.is_relative_to(root):
        raise SuiteError(f"{SUITE_FILE}: examples: {file_name!r} leaves the suite's folder; name a file inside it")
    if not path.is_file():
        raise SuiteError(f"{SUITE_FILE}: examples: {file_name!r} does not exist in the suite's folder")
    return path


def _lines(path: Path, file_name: str) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, read so that no line can fill the memory."""
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise SuiteError(f"{_Place(file_name, number)}: longer than 1 MiB; one line holds one example")
            if line.strip():
                yield number, line


def _parse_example(place: _Place, line: bytes) -> model.Example:
    document = _parse_json(place, line)
    if not isinstance(document, dict):
        raise SuiteError(f"{place}: expected a JSON object with id, task, group, messages and reference")
    try:
        return model.Example.model_validate(document)
    except pydantic.ValidationError as error:
        raise SuiteError(f"{place}: {_first_fault(error)}") from error


def _parse_json(place: _Place, line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SuiteError(f"{place}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise SuiteError(f"{place}: not valid JSON ({error}); each line is one complete JSON object") from error


def _check_example(suite: model.Suite, file_name: str, place: _Place, example: model.Example) -> None:
    expected = [task.name for task in suite.tasks if task.examples == file_name]
    if example.task not in expected:
        raise SuiteError(f"{place}: task: {example.task!r} is out of place; this file is for {' and '.join(expected)}")
    if example.answer is not None:
        raise SuiteError(f"{place}: answer: only a worked example (shots) shows one; give the reference alone")
    _check_content(suite.task(example.task), place, example)


def _check_content(task: model.Task, place: _Place, example: model.Example) -> None:
    if not task.is_scored:
        _check_raw_text(place, example)
    elif example.text is not None:
        raise SuiteError(f"{place}: text: only a perplexity task reads raw text; give messages or prompt")
    elif example.reference is None:
        raise SuiteError(f"{place}: reference: missing; give the right answer to {example.id!r}")
    elif fault := references.fault(task.scorer, example.reference):
        raise SuiteError(f"{place}: reference: {fault}")
    elif isinstance(task.scorer, model.ChoiceScorer):
        _check_choices(place, example)
    elif example.choices is not None:
        raise SuiteError(f"{place}: choices: only a choice task offers them; leave them out")


def _check_choices(place: _Place, example: model.Example) -> None:
    if fault := references.choice_fault(example):
        raise SuiteError(f"{place}: {fault}")


def _check_raw_text(place: _Place, example: model.Example) -> None:
    if example.text is None:
        raise SuiteError(f"{place}: text: missing; a perplexity task reads raw text, not messages or a prompt")
    if example.reference is not None:
        raise SuiteError(f"{place}: reference: a perplexity task has none; leave it out")


def _check_first_use(seen: dict[str, _Place], place: _Place, example: model.Example) -> None:
    if example.id in seen:
        raise SuiteError(f"{place}: id: {example.id!r} is used in {seen[example.id]} too; each example needs its own")
    seen[example.id] = place


def _check_counts(suite: model.Suite, by_task: Mapping[str, list[model.Example]]) -> None:
    for task in suite.tasks:
        count = len(by_task[task.name])
        if count == 0:
            raise SuiteError(f"{task.examples}: no example of task {task.name!r}; add some, or leave the task out")
        if count > MAX_EXAMPLES_PER_TASK:
            raise SuiteError(
                f"{task.examples}: {count} examples of task {task.name!r}; at most {MAX_EXAMPLES_PER_TASK}"
            )


def _first_fault(error: pydantic.ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    more = error.error_count() - 1
    return (f"{field}: " if field else "") + message + (f" (and {more} more)" if more else "")
