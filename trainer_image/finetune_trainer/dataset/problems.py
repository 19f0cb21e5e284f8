"""Tells the user about every bad line: all on the volume, fifty in the log, five in the status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from finetune_api.conditions import Reason
from finetune_trainer.artifacts import write_durably
from finetune_trainer.dataset.reading import LineProblem
from finetune_trainer.failures import UserError
from finetune_trainer.reporting import Reporter

ERRORS_FILE = "prepare-errors.jsonl"
ERRORS_IN_LOG = 50


def refuse_problems(
    problems: Sequence[LineProblem], *, lines: int, directory: Path, manifest_field: str, reporter: Reporter
) -> None:
    """UserError (DatasetInvalid) when there are problems; of an earlier attempt's, none are left behind."""
    errors_file = directory / ERRORS_FILE
    if not problems:
        errors_file.unlink(missing_ok=True)
        return
    ordered = sorted(problems, key=lambda problem: problem.line)
    directory.mkdir(parents=True, exist_ok=True)
    write_durably(errors_file, "".join(_to_line(problem) for problem in ordered))
    for problem in ordered[:ERRORS_IN_LOG]:
        reporter.problem(str(problem))
    raise UserError(
        Reason.DATASET_INVALID,
        f"{manifest_field}: {len(ordered)} of {lines} lines cannot be used, first {ordered[0]}. "
        f"Correct them; all are listed in {ERRORS_FILE} in the run's folder",
        errors=[str(problem) for problem in ordered],
    )


def _to_line(problem: LineProblem) -> str:
    return json.dumps({"line": problem.line, "message": problem.cause}, ensure_ascii=False) + "\n"
