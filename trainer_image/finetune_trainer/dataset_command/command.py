"""`finetune dataset generate` and `finetune dataset diff`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TypeVar

from finetune_api.exit_codes import ExitCode
from finetune_trainer.dataset_command.contents import read_contents
from finetune_trainer.dataset_command.diff_report import DiffReport
from finetune_trainer.dataset_command.differences import differences
from finetune_trainer.dataset_command.errors import InputError
from finetune_trainer.dataset_command.generate import Order, generate
from finetune_trainer.dataset_command.rows import Recipe
from finetune_trainer.dataset_command.subjects import Difficulty, Task

_FEWEST_ROWS = 10
_MOST_ROWS = 1_000_000
_FIRST_YEAR, _LAST_YEAR = 1950, 2200
_DIFFERENT = 1
"""As diff says it."""
Named = TypeVar("Named", Difficulty, Task)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 where two datasets differ, 2 where an option or a file is wrong, 4 when told to stop."""
    options = _parser().parse_args(arguments)
    try:
        return _diff(options) if options.command == "diff" else _generate(options)
    except InputError as error:
        print(f"finetune dataset {options.command}: {error}", file=sys.stderr)
        return ExitCode.USER
    except KeyboardInterrupt:
        print(f"finetune dataset {options.command}: stopped; nothing was written", file=sys.stderr)
        return ExitCode.STOPPED


def _generate(options: argparse.Namespace) -> int:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        parts = generate(_order(options))
    finally:
        signal.signal(signal.SIGTERM, before)
    print(f"{options.output}: " + ", ".join(f"{count} rows to {part}" for part, count in parts.items()))
    return ExitCode.DONE


def _order(options: argparse.Namespace) -> Order:
    if not _FEWEST_ROWS <= options.rows <= _MOST_ROWS:
        raise InputError(f"--rows: {options.rows} is not a number from {_FEWEST_ROWS} to {_MOST_ROWS}")
    tasks = tuple(dict.fromkeys(_named(Task, name.strip(), "--tasks") for name in options.tasks.split(",")))
    difficulty = _named(Difficulty, options.difficulty, "--difficulty")
    return Order(Recipe(options.seed, difficulty, tasks, _cutoff(options.cutoff)), options.rows, options.output)


def _named(kind: type[Named], name: str, option: str) -> Named:
    try:
        return kind(name)
    except ValueError as error:
        raise InputError(f"{option}: '{name}' is none of {', '.join(kind)}") from error


def _cutoff(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--cutoff: '{text}' is not a date such as 2023-12-31") from error
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise InputError(f"--cutoff: {text} is not in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return day


def _diff(options: argparse.Namespace) -> int:
    before, after = read_contents(options.before), read_contents(options.after)
    found = differences(before, after)
    report = DiffReport(before, after, found)
    print(report.to_json() if options.output == "json" else report.to_table())
    return _DIFFERENT if found else ExitCode.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="finetune dataset", description="Makes datasets, and tells them apart.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_generate(commands.add_parser("generate", help="write synthetic finance data", description=_GENERATE))
    _add_diff(commands.add_parser("diff", help="tell what changed between two datasets", description=_DIFF))
    return parser


_GENERATE = (
    "Writes synthetic finance data in the shape instruction, input, output: always the same for the same options. "
    "Train, validation and test share no company and no time: what is learnt from ends with the cut-off date. "
    "example: finetune dataset generate --rows 10000 --seed 7 --output earnings"
)
_DIFF = (
    "Compares two datasets by what they hold: JSONL files, or folders with train.jsonl such as prepare leaves. "
    "exit codes: 0 the same, 1 different, 2 one cannot be read"
)


def _add_generate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rows", type=int, required=True, metavar="N", help=f"of all parts together, {_FEWEST_ROWS} to {_MOST_ROWS}")
    add("--seed", type=int, default=0, metavar="N", help="another one gives other rows (default: 0)")
    add("--difficulty", default=Difficulty.MIXED, help="easy, medium, hard or mixed (default: mixed)")
    add("--tasks", default=",".join(Task), help="in turn (default: eps,sentiment,revenue)")
    add("--cutoff", default="2023-12-31", metavar="DATE", help="the last day to learn from (default: 2023-12-31)")
    add(
        "--output",
        type=Path,
        required=True,
        metavar="PATH",
        help="a new folder for train.jsonl, validation.jsonl and test.jsonl; or a new file *.jsonl, for training rows",
    )


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", type=Path, metavar="A", help="a JSONL file, or a folder with train.jsonl")
    parser.add_argument("after", type=Path, metavar="B", help="what to compare it with")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="form of the answer")
