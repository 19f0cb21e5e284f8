"""The suite that the predictions belong to: the one that is named, or else one that follows from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pydantic
import yaml

from finetune_trainer.compare_command.errors import InputError
from finetune_trainer.compare_command.reading import PlacedRow
from finetune_trainer.report.wording import UNNAMED
from finetune_trainer.scoring import references
from finetune_trainer.suites import model
from finetune_trainer.suites.json_lines import MAX_LINE_BYTES
from finetune_trainer.suites.load import SUITE_FILE, load_suite

_MOST_TASKS = 12
_MOST_LABELS = 64
_SCORERS: tuple[model.Scorer, ...] = (model.NumberScorer(), model.GrowthScorer())


def read_suite(path: Path) -> model.Suite:
    """InputError names the file and what is wrong with it."""
    path = path / SUITE_FILE if path.is_dir() else path
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_LINE_BYTES + 1)
        if len(text) > MAX_LINE_BYTES:
            raise InputError(f"--suite: {path}: larger than 1 MiB; name the {SUITE_FILE}, not the examples")
        return model.Suite.model_validate(yaml.safe_load(text.decode("utf-8-sig")))
    except OSError as error:
        raise InputError(f"--suite: {path}: cannot be read: {error.strerror or error}") from error
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in fault["loc"])
        raise InputError(f"--suite: {path}: {field}: {fault['msg'].removeprefix('Value error, ')}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also a date that no calendar has
        raise InputError(f"--suite: {path}: not valid YAML: {error}") from error


def read_examples(path: Path, suite: model.Suite) -> Mapping[str, model.Example]:
    """The suite's examples by their ids; none where its files do not lie beside it."""
    folder = path if path.is_dir() else path.parent
    if not (folder / SUITE_FILE).is_file() or not all((folder / task.examples).is_file() for task in suite.tasks):
        return {}
    try:
        loaded = load_suite(folder)
    except model.SuiteError as error:
        raise InputError(f"--suite: {error}") from error
    return {example.id: example for examples in loaded.examples.values() for example in examples}


def suite_of(rows: Sequence[PlacedRow]) -> model.Suite:
    """Every task counts the same, with the margin that suites have by default."""
    by_title: dict[str, list[PlacedRow]] = {}
    for each in rows:
        by_title.setdefault(each.row.task, []).append(each)
    _check_titles(by_title)
    tasks = tuple(_task(title, found) for title, found in by_title.items())
    if not any(task.is_scored for task in tasks):
        raise InputError(f"{rows[0].place}: there are only likelihoods of texts; a comparison needs scores of answers")
    return model.Suite(name=UNNAMED, version="1", title="Predictions", tasks=tasks)


def task_name(title: str) -> str:
    """A task's name from whatever it is called in a file: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:63].strip("-")


def _check_titles(by_title: Mapping[str, Sequence[PlacedRow]]) -> None:
    if len(by_title) > _MOST_TASKS:
        place = list(by_title.values())[_MOST_TASKS][0].place
        raise InputError(f"{place}: task: the {_MOST_TASKS + 1}th one; at most {_MOST_TASKS} are compared at once")
    names: dict[str, str] = {}
    for title, found in by_title.items():
        name = task_name(title)
        if name in ("", model.OVERALL):
            raise InputError(f"{found[0].place}: task: {title!r} cannot be a task's name; choose another")
        if names.setdefault(name, title) != title:
            raise InputError(f"{found[0].place}: task: {title!r} and {names[name]!r} are too alike; choose another")


def _task(title: str, rows: Sequence[PlacedRow]) -> model.Task:
    kinds = {each.row.is_text for each in rows}
    if len(kinds) > 1:
        odd = next(each for each in rows if each.row.is_text != rows[0].row.is_text)
        raise InputError(f"{odd.place}: the task {title!r} has both scores and likelihoods; split it into two")
    scorer = model.PerplexityScorer() if kinds == {True} else _scorer(each.row.reference for each in rows)
    return model.Task(name=task_name(title), title=title, scorer=scorer, examples="predictions.jsonl")


def _scorer(found: Iterable[str | None]) -> model.Scorer:
    """The one that can read all references. It scores nothing here, but tells how a wrong answer is wrong."""
    known = [reference for reference in found if reference]
    for scorer in _SCORERS:
        if known and not any(references.fault(scorer, reference) for reference in known):
            return scorer
    labels = {reference.casefold(): reference.strip() for reference in known if len(reference.strip()) <= 64}
    is_choice = 2 <= len(labels) <= _MOST_LABELS and all(labels.values()) and len(labels) * 2 <= len(known)
    return model.LabelScorer(labels=tuple(sorted(labels.values()))) if is_choice else model.NumberScorer()
