"""`finetune status`: reads with kubectl, or from a file, and prints the queue for GPUs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from finetune_api.exit_codes import ExitCode
from finetune_trainer.status_command.errors import InputError
from finetune_trainer.status_command.report import Report, report_of
from finetune_trainer.status_command.sources import current_namespace, from_file, from_kubectl
from finetune_trainer.status_command.works import works_of


@dataclass(frozen=True)
class Options:
    """The command line."""

    name: str | None
    namespace: str | None
    file: Path | None
    output: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 2 where an option is wrong or nothing can be read."""
    options = Options(**vars(_parser().parse_args(arguments)))
    try:
        report = status(options, datetime.now(UTC))
    except InputError as error:
        print(f"finetune status: {error}", file=sys.stderr)
        return ExitCode.USER
    print(report.to_json() if options.output == "json" else report.to_table())
    return ExitCode.DONE


def status(options: Options, now: datetime) -> Report:
    """InputError says what could not be read."""
    if options.file is not None and options.namespace is None:
        raise InputError("--namespace: name the namespace to tell of; of the others in the file only numbers are told")
    namespace = options.namespace or current_namespace()
    found = from_file(options.file) if options.file is not None else from_kubectl(namespace)
    works, unread = works_of(found.objects)
    return report_of(works, namespace, options.name, (*found.notes, *unread), now, everywhere=found.everywhere)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="finetune status",
        description="Says which FineTuneJobs and Evaluations of a namespace wait for GPUs, who is in front, and when "
        "they may start as far as the plans of those in front tell. Other namespaces are told as numbers only.",
    )
    parser.add_argument("name", nargs="?", help="tell of the resource with this name only")
    parser.add_argument("-n", "--namespace", help="namespace to tell of (kubectl's current one)")
    parser.add_argument(
        "--from",
        dest="file",
        type=Path,
        metavar="FILE",
        help="read the objects from a file, - for stdin, as `kubectl get finetunejobs,evaluations,jobs,pods "
        "--all-namespaces -o json` prints them",
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="form (table)")
    return parser
