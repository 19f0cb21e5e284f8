"""`finetune compare`: reads files of predictions, judges, and writes the answer in one of four forms."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from finetune_api.exit_codes import ExitCode
from finetune_trainer.compare_command.errors import InputError
from finetune_trainer.compare_command.judging import MOST_CANDIDATES, compare
from finetune_trainer.compare_command.table import as_tables
from finetune_trainer.report.findings import Findings
from finetune_trainer.report.page import render
from finetune_trainer.report.write import all_as_json, as_markdown
from finetune_trainer.timestamps import utc_now


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"
    HTML = "html"
    MARKDOWN = "markdown"


@dataclass(frozen=True)
class Options:
    """The command line."""

    baseline: Path
    candidate: list[Path]
    suite: Path | None
    form: Form
    output: Path | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 2 where a file or an option is wrong; whatever the verdict is, 0."""
    options = Options(**vars(_parser().parse_args(arguments)))
    try:
        text = _in_form(compare(options.baseline, options.candidate, options.suite), options.form)
        if options.output is None:
            sys.stdout.write(text)
        else:
            _write_whole(options.output, text)
    except InputError as error:
        print(f"finetune compare: {error}", file=sys.stderr)
        return ExitCode.USER
    return ExitCode.DONE


def _in_form(found: Sequence[Findings], form: Form) -> str:
    """A page and a text for a pull request are about the first place, and show the others beside it."""
    match form:
        case Form.TABLE:
            return as_tables(found)
        case Form.JSON:
            return all_as_json(found, utc_now())
        case Form.HTML:
            return render(found[0], utc_now())
        case Form.MARKDOWN:
            return as_markdown(found[0])


def _write_whole(path: Path, text: str) -> None:
    """Beside its place and then into it: nobody finds half a report, and a failure leaves what was there."""
    try:
        descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            os.chmod(aside, 0o644)
            os.replace(aside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(aside)
            raise
    except OSError as error:
        raise InputError(f"--output: {path}: cannot be written: {error.strerror or error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="finetune compare",
        description="Says whether candidates are better than their baseline, from the models' scores on the same "
        "examples: no cluster, no model. A line of a file is a JSON object with id, task, group (examples that are "
        "alike, such as those about one company) and score (0 to 1); prediction, reference, question, pattern and "
        "parsed are optional.",
        epilog="exit codes: 0 compared, whatever the verdict, 2 a file or an option is wrong. "
        "example: finetune compare --baseline base.jsonl --candidate tuned.jsonl -o html --output report.html",
    )
    add = parser.add_argument
    add("--baseline", type=Path, required=True, metavar="FILE", help="predictions of the model to compare with")
    add(
        "--candidate",
        type=Path,
        required=True,
        action="append",
        metavar="FILE",
        help="predictions of the model that claims to be better, of the same examples; given several times (at most "
        f"{MOST_CANDIDATES}), the candidates are ranked and compared with each other, html and markdown are about the "
        "best of them",
    )
    add(
        "--suite",
        type=Path,
        metavar="FILE",
        help="suite.yaml with the tasks' weights and the margin; without it all tasks count the same, margin 0.03",
    )
    add("-o", dest="form", type=Form, choices=tuple(Form), default=Form.TABLE, help="form (default: table)")
    add("--output", type=Path, metavar="FILE", help="where to write it, whole or not at all (default: print it)")
    return parser
