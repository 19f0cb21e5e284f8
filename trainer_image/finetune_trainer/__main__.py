"""Carries out one order: `python3 -m finetune_trainer` in a pod, `finetune run order.json` by hand.

Also by hand, without a cluster: `finetune plan`, `dataset`, `suite`, `compare` and `import-gguf`; and with kubectl's
help `finetune status`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pydantic import ValidationError

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.orders import ORDER_VARIABLE, Order, TrainOrder, parse_order
from finetune_api.results import Failure, Result
from finetune_trainer.failures import TrainerFailure, UserError
from finetune_trainer.membership import membership
from finetune_trainer.reporting import Reporter
from finetune_trainer.steps import carry_out
from finetune_trainer.stopping import STOP
from finetune_trainer.storage_errors import as_storage_failure
from finetune_trainer.termination import report_result
from finetune_trainer.train.ledger import kilowatt_hours_so_far
from finetune_trainer.train.step import CHECKPOINTS_FOLDER
from finetune_trainer.unreadable_inputs import as_unreadable_input

_DESCRIPTION = f"""\
Prepares, trains, evaluates and compares: one order, one step.

Without arguments the order is read from the environment variable {ORDER_VARIABLE}.
Events are printed to stdout, one JSON object a line; the last line is the result."""

_EPILOG = """\
exit codes: 0 done, 1 a defect of the trainer, 2 dataset, model or spec are wrong, 3 a volume or device failed,
4 told to stop, 5 out of memory where smaller portions may fit, 6 the loss is not finite, 7 a GPU is too hot or over
its power, 8 the deadline is over"""

_LIBRARY_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    # Threads that wait sleep: on CPUs shared with others, waiting in a loop makes a step many times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
}
"""Read by libraries when they are imported; what the pod's environment says goes first."""


@dataclass(frozen=True)
class _Command:
    """A command that reads its own arguments, in a module that is imported only when it is asked for."""

    module: str
    help: str
    stops_cleanly: bool = False
    """Whether a signal asks it to stop; else a signal ends it."""


_COMMANDS = {
    "plan": _Command("finetune_trainer.plan_command.command", "say what a FineTuneJob needs, without a cluster"),
    "dataset": _Command("finetune_trainer.dataset_command.command", "generate a dataset, or tell how two differ"),
    "suite": _Command(
        "finetune_trainer.suite_command.command", "check a suite, or turn other formats into one, and back"
    ),
    "status": _Command("finetune_trainer.status_command.command", "say who waits for GPUs, and who is in front"),
    "compare": _Command("finetune_trainer.compare_command.command", "compare files of predictions with a baseline's"),
    "import-gguf": _Command("finetune_trainer.import_gguf", "turn a GGUF file into a model folder", stops_cleanly=True),
}


def main(arguments: Sequence[str] | None = None) -> int:
    for name, value in _LIBRARY_SETTINGS.items():
        os.environ.setdefault(name, value)
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = _COMMANDS.get(given[0]) if given else None
    if command is not None:
        if command.stops_cleanly:
            STOP.listen()
        return _run_command(given[0], command.module, given[1:])
    STOP.listen()
    options, others = _parser().parse_known_args(given)
    if others:
        _parser().error(f"unrecognized arguments: {' '.join(others)}")
    return run_order(options.order if options.command == "run" else None)


def _run_command(name: str, module: str, arguments: Sequence[str]) -> int:
    # Quietly, as other commands do, when whoever reads what it prints has read enough.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        exit_code: int = import_module(module).main(arguments)
    except KeyboardInterrupt:
        print(f"finetune {name}: stopped", file=sys.stderr)
        return ExitCode.STOPPED
    return exit_code


def run_order(path: Path | None) -> int:
    """Carries out the order of a file, or else of the environment; always leaves a result."""
    order: Order | None = None
    try:
        order = _read_order(path)
        result = carry_out(order, Reporter())
        if result is not None:
            _tell(ExitCode.DONE, result)
        return ExitCode.DONE
    except Exception as error:
        return _fail(error, order)


def _fail(error: Exception, order: Order | None) -> int:
    failure = _as_trainer_failure(error, order)
    if failure is not None:
        return _tell(failure.exit_code, _with_energy(failure.to_failure(), order))
    traceback.print_exception(error)
    message = f"a defect of the trainer, traceback in the pod's log: {type(error).__name__}: {error}"
    return _tell(ExitCode.DEFECT, _with_energy(Failure(reason=Reason.INTERNAL_ERROR, message=message), order))


def _with_energy(failure: Failure, order: Order | None) -> Failure:
    """A training that fails was paid for, too."""
    if not isinstance(order, TrainOrder):
        return failure
    spent = kilowatt_hours_so_far(Path(order.directory) / CHECKPOINTS_FOLDER)
    return failure if spent is None else failure.model_copy(update={"energy_kwh": f"{spent:.6f}"})


def _tell(exit_code: ExitCode, result: Result) -> ExitCode:
    """To the pod's reader; or to the process that started this one, which tells it for all."""
    member = membership()
    if member is None:
        report_result(result)
    else:
        import_module("finetune_trainer.train.last_words").leave_last_word(member.last_words, exit_code, result)
    return exit_code


def _as_trainer_failure(error: Exception, order: Order | None) -> TrainerFailure | None:
    if isinstance(error, TrainerFailure):
        return error
    if order is None:
        return None
    unreadable = as_unreadable_input(error, order)
    if unreadable is not None:
        return unreadable
    storage_failure = as_storage_failure(error, Path(order.directory))
    if storage_failure is not None:
        # The cause, for whoever reads the log; the result says what to do about it.
        traceback.print_exception(error)
    return storage_failure


def _read_order(path: Path | None) -> Order:
    try:
        return parse_order(_order_text(path))
    except ValidationError as error:
        details = [": ".join((*map(str, item["loc"]), item["msg"])) for item in error.errors()]
        message = f"the order is not one that this version of the trainer understands: {details[0]}"
        raise UserError(Reason.ORDER_INVALID, message, errors=details) from error


def _order_text(path: Path | None) -> str:
    if path is not None:
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(Reason.ORDER_INVALID, f"the order cannot be read: {error}") from error
    text = os.environ.get(ORDER_VARIABLE)
    if not text:
        message = f"no order: set the environment variable {ORDER_VARIABLE}, or name a file: run order.json"
        raise UserError(Reason.ORDER_INVALID, message)
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="finetune",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser("run", help="carry out the order of a file")
    run.add_argument("order", type=Path, help="JSON document, as the environment variable would hold it")
    for name, command in _COMMANDS.items():
        commands.add_parser(name, help=command.help, add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
