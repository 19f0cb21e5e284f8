"""Reads a suite from its folder; whatever is wrong is said with file, line and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pydantic
import yaml

from finetune_trainer.scoring import references
from finetune_trainer.suites import json_lines, model
from finetune_trainer.suites.json_lines import MAX_LINE_BYTES, Place
from finetune_trainer.suites.model import SuiteError

SUITE_FILE = "suite.yaml"
MAX_EXAMPLES_PER_TASK = 20_000

_BUILTIN_SUITES = Path(__file__).resolve().parent


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
    seen: dict[str, Place] = {}
    for file_name in dict.fromkeys(task.examples for task in suite.tasks):
        for place, example in _read_examples(folder, file_name):
            _check_example(suite, file_name, place, example)
            _check_first_use(seen, place, example)
            by_task[example.task].append(example)
    shots = _read_shots(folder, suite, seen)
    _check_counts(suite, by_task)
    ordered = {name: tuple(sorted(each, key=lambda one: one.id)) for name, each in by_task.items()}
    return model.LoadedSuite(suite=suite, examples=ordered, shots=shots)


def _read_shots(folder: Path, suite: model.Suite, seen: dict[str, Place]) -> tuple[model.Example, ...]:
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
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also a date that no calendar has
        raise SuiteError(f"{SUITE_FILE}: not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise SuiteError(f"{SUITE_FILE}: expected a mapping with name, version, title and tasks")
    try:
        return model.Suite.model_validate(document)
    except pydantic.ValidationError as error:
        raise SuiteError(f"{SUITE_FILE}: {_first_fault(error)}") from error


def _read_examples(folder: Path, file_name: str) -> Iterator[tuple[Place, model.Example]]:
    path = _inside(folder, file_name)
    for number, line in json_lines.lines(path, file_name):
        place = Place(file_name, number)
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


def _parse_example(place: Place, line: bytes) -> model.Example:
    document = json_lines.parse(place, line)
    if not isinstance(document, dict):
        raise SuiteError(f"{place}: expected a JSON object with id, task, group, messages and reference")
    try:
        return model.Example.model_validate(document)
    except pydantic.ValidationError as error:
        raise SuiteError(f"{place}: {_first_fault(error)}") from error


def _check_example(suite: model.Suite, file_name: str, place: Place, example: model.Example) -> None:
    expected = [task.name for task in suite.tasks if task.examples == file_name]
    if example.task not in expected:
        raise SuiteError(f"{place}: task: {example.task!r} is out of place; this file is for {' and '.join(expected)}")
    if example.answer is not None:
        raise SuiteError(f"{place}: answer: only a worked example (shots) shows one; give the reference alone")
    _check_content(suite.task(example.task), place, example)


def _check_content(task: model.Task, place: Place, example: model.Example) -> None:
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


def _check_choices(place: Place, example: model.Example) -> None:
    if fault := references.choice_fault(example):
        raise SuiteError(f"{place}: {fault}")


def _check_raw_text(place: Place, example: model.Example) -> None:
    if example.text is None:
        raise SuiteError(f"{place}: text: missing; a perplexity task reads raw text, not messages or a prompt")
    if example.reference is not None:
        raise SuiteError(f"{place}: reference: a perplexity task has none; leave it out")


def _check_first_use(seen: dict[str, Place], place: Place, example: model.Example) -> None:
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
