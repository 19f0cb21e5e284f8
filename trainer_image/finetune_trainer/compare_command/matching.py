"""Files of predictions as models' answers to the same questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.compare_command.errors import InputError
from finetune_trainer.compare_command.reading import PlacedRow, Row, RowFile
from finetune_trainer.report.findings import PredictionFile
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.suites import model


@dataclass(frozen=True)
class Matched:
    """All sides, and the questions as far as suite and files tell them."""

    suite: model.LoadedSuite
    baseline: PredictionFile
    candidates: tuple[PredictionFile, ...]


def check_alike(baseline: RowFile, candidate: RowFile) -> None:
    """InputError where the files are not about the same examples."""
    _check_has_all(candidate, baseline)
    _check_has_all(baseline, candidate)
    for key, one in baseline.rows.items():
        _check_same(one, candidate.rows[key])


def match(
    suite: model.Suite, examples: Mapping[str, model.Example], baseline: RowFile, candidates: Sequence[RowFile]
) -> Matched:
    """Files that are alike, as sides of a comparison. InputError where they are not the suite's."""
    tasks = {name: task for task in suite.tasks for name in (task.title, task.name)}
    by_task: dict[str, list[model.Example]] = {task.name: [] for task in suite.tasks}
    for key, each in baseline.rows.items():
        task = _task_of(each, tasks, suite)
        _check_known(each, task, examples)
        by_task[task.name].append(
            examples.get(key) or _example(task, each.row, [other.rows[key].row for other in candidates])
        )
    used = _used(suite, by_task, baseline)
    ordered = {task.name: tuple(sorted(by_task[task.name], key=lambda one: one.id)) for task in used.tasks}
    return Matched(
        model.LoadedSuite(used, ordered),
        _side("base", baseline, tasks),
        tuple(_side(name, file, tasks) for name, file in zip(_names(candidates), candidates, strict=True)),
    )


def _names(candidates: Sequence[RowFile]) -> list[str]:
    """What tells the files apart: their names without folders where that is enough."""
    stems = [each.path.stem for each in candidates]
    return stems if len(set(stems)) == len(stems) else [str(each.path) for each in candidates]


def _check_has_all(file: RowFile, other: RowFile) -> None:
    missing = [each for key, each in other.rows.items() if key not in file.rows]
    if missing:
        raise InputError(
            f"{file.path}: {len(missing)} ids of {other.path} are not in it, first {missing[0].row.id!r} "
            f"({missing[0].place}); both files need one line for each example"
        )


def _check_same(one: PlacedRow, other: PlacedRow) -> None:
    for field in ("task", "group", "pattern", "reference", "question", "is_text", "utf8_bytes"):
        left, right = getattr(one.row, field), getattr(other.row, field)
        told_by_both = field not in ("reference", "question") or None not in (left, right)
        if told_by_both and left != right:
            raise InputError(
                f"{other.place}: {field}: {right!r} for {other.row.id!r}, but {left!r} in {one.place}; "
                "both files must be about the same examples"
            )


def _task_of(each: PlacedRow, tasks: Mapping[str, model.Task], suite: model.Suite) -> model.Task:
    task = tasks.get(each.row.task)
    if task is None:
        known = ", ".join(task.name for task in suite.tasks)
        raise InputError(f"{each.place}: task: {each.row.task!r} is not in the suite {suite.name}; it has {known}")
    if task.is_scored == each.row.is_text:
        wanted = "a score" if task.is_scored else "negativeLogLikelihood and utf8Bytes"
        raise InputError(f"{each.place}: the task {task.name!r} of the suite {suite.name} needs {wanted}")
    return task


def _check_known(each: PlacedRow, task: model.Task, examples: Mapping[str, model.Example]) -> None:
    if not examples:
        return
    example = examples.get(each.row.id)
    if example is None or example.task != task.name:
        raise InputError(f"{each.place}: id: the suite has no example {each.row.id!r} of the task {task.name!r}")
    for field in ("group", "pattern"):
        ours, theirs = getattr(example, field), getattr(each.row, field)
        if ours != theirs:
            raise InputError(f"{each.place}: {field}: {theirs!r}, but the suite's example has {ours!r}")


def _used(suite: model.Suite, by_task: Mapping[str, list[model.Example]], file: RowFile) -> model.Suite:
    """Of the suite, what was answered: raw texts may be left out, but no task that counts."""
    left_out = next((task for task in suite.scored_tasks if not by_task[task.name]), None)
    if left_out is not None:
        raise InputError(f"{file.path}: no predictions for the suite's task {left_out.name!r}; it counts in the score")
    return suite.model_copy(update={"tasks": tuple(task for task in suite.tasks if by_task[task.name])})


def _example(task: model.Task, row: Row, others: Sequence[Row]) -> model.Example:
    """Not validated: a file of predictions may leave out what a suite must have. What one leaves out another may
    tell."""
    return model.Example.model_construct(
        id=row.id,
        task=task.name,
        group=row.group,
        pattern=row.pattern,
        messages=None,
        prompt=next((each.question for each in (row, *others) if each.question), ""),
        reference=next((each.reference for each in (row, *others) if each.reference), None),
        text=None,
    )


def _side(name: str, file: RowFile, tasks: Mapping[str, model.Task]) -> PredictionFile:
    answers = tuple(_prediction(file.path, each.row, tasks[each.row.task].name) for each in file.rows.values())
    untold = frozenset(key for key, each in file.rows.items() if each.row.prediction is None)
    return PredictionFile(name, answers, str(file.path), file.digest, untold)


def _prediction(file: Path, row: Row, task: str) -> ScoredPrediction:
    if row.is_text:
        return ScoredPrediction(
            id=row.id,
            task=task,
            group=row.group,
            pattern=row.pattern,
            negative_log_likelihood=row.negative_log_likelihood,
            utf8_bytes=row.utf8_bytes,
        )
    return ScoredPrediction(
        id=row.id,
        task=task,
        group=row.group,
        pattern=row.pattern,
        # Of answers that are not told, no two may count as the same.
        prediction=f"(not told in {file})" if row.prediction is None else row.prediction,
        score=row.score,
        parsed=row.parsed is not False,
    )
