"""Every end of a step leaves an exit code and a result that say whose fault it was."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from workplaces import Workplace

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.orders import Order
from finetune_api.results import Failure, PrepareTrainingResult, Result, parse_result
from finetune_trainer import __main__ as program
from finetune_trainer import storage_errors
from finetune_trainer.failures import (
    InfrastructureError,
    MemoryExhausted,
    NonFiniteLoss,
    StoppedError,
    TrainerFailure,
    UserError,
)
from finetune_trainer.reporting import Reporter
from finetune_trainer.train.ledger import Ledger
from finetune_trainer.train.usage import Usage

Step = Callable[[Order, Reporter], Result]


@pytest.fixture(autouse=True)
def _own_process_state(monkeypatch: pytest.MonkeyPatch, stop_request: None) -> Iterator[None]:
    for name in ("FINETUNE_ORDER", "FINETUNE_TERMINATION_LOG", *program._LIBRARY_SETTINGS):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def termination_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setenv("FINETUNE_TERMINATION_LOG", str(path))
    return path


def run_with(step: Step, workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(program, "carry_out", step)
    monkeypatch.setenv("FINETUNE_ORDER", workplace.prepare_order().to_json())
    return program.main([])


def raising(error: BaseException) -> Step:
    def step(_order: Order, _reporter: Reporter) -> Result:
        raise error

    return step


def failure_in(termination_log: Path) -> Failure:
    result = parse_result(termination_log.read_text())
    assert isinstance(result, Failure)
    return result


def test_a_step_well_done_leaves_its_result_in_the_message_and_on_stdout(
    workplace: Workplace, termination_log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINETUNE_ORDER", workplace.prepare_order().to_json())
    assert program.main([]) == ExitCode.DONE
    result = parse_result(termination_log.read_text())
    assert isinstance(result, PrepareTrainingResult)
    lines = capsys.readouterr().out.splitlines()
    assert parse_result(lines[-1]) == result
    assert all("event" in json.loads(line) for line in lines[:-1])


def test_an_order_is_carried_out_by_hand_without_a_termination_log(
    workplace: Workplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "order.json"
    path.write_text(workplace.prepare_order().to_json())
    assert program.main(["run", str(path)]) == ExitCode.DONE
    assert isinstance(parse_result(capsys.readouterr().out.splitlines()[-1]), PrepareTrainingResult)


@pytest.mark.parametrize(
    ("error", "exit_code", "reason"),
    [
        (UserError(Reason.DATASET_INVALID, "m"), ExitCode.USER, Reason.DATASET_INVALID),
        (InfrastructureError(Reason.DEVICE_FAILED, "m"), ExitCode.INFRASTRUCTURE, Reason.DEVICE_FAILED),
        (StoppedError("m"), ExitCode.STOPPED, Reason.PREEMPTED),
        (MemoryExhausted("m"), ExitCode.GPU_OUT_OF_MEMORY, Reason.OUT_OF_MEMORY),
        (NonFiniteLoss("m"), ExitCode.NON_FINITE_LOSS, Reason.NON_FINITE_LOSS),
    ],
)
def test_a_failure_has_the_exit_code_of_whose_fault_it_is(
    workplace: Workplace,
    termination_log: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: TrainerFailure,
    exit_code: ExitCode,
    reason: Reason,
) -> None:
    assert run_with(raising(error), workplace, monkeypatch) == exit_code
    assert failure_in(termination_log) == Failure(reason=reason, message="m")


@pytest.mark.parametrize("error", [NonFiniteLoss("m"), KeyError("oops")])
def test_a_training_that_fails_tells_what_its_attempts_have_drawn(
    workplace: Workplace, termination_log: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for joules in (1.8e6, 3.6e6):
        with Ledger(workplace.directory / "checkpoints") as ledger:
            ledger.measure(lambda joules=joules: Usage(joules={"GPU-1": joules}), lambda: 0)  # type: ignore[misc]
    monkeypatch.setattr(program, "carry_out", raising(error))
    monkeypatch.setenv("FINETUNE_ORDER", workplace.train_order().to_json())
    program.main([])
    assert failure_in(termination_log).energy_kwh == "1.500000"


def test_a_training_that_was_not_measured_tells_no_energy(
    workplace: Workplace, termination_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "carry_out", raising(NonFiniteLoss("m")))
    monkeypatch.setenv("FINETUNE_ORDER", workplace.train_order().to_json())
    program.main([])
    assert failure_in(termination_log).energy_kwh is None


def test_a_defect_leaves_a_traceback_and_exit_code_1(
    workplace: Workplace, termination_log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(raising(KeyError("oops")), workplace, monkeypatch) == ExitCode.DEFECT
    assert "Traceback" in capsys.readouterr().err
    failure = failure_in(termination_log)
    assert failure.reason is Reason.INTERNAL_ERROR
    assert "KeyError: 'oops'" in failure.message


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("", "no order: set the environment variable FINETUNE_ORDER"),
        ("{", "is not one that this version of the trainer understands: Invalid JSON"),
        ('{"order": "bake"}', "understands"),
        ('{"order": "train", "directory": "/x", "gpus": 0}', "understands: train: baseModel: Field required"),
    ],
)
def test_an_order_that_is_none_is_refused(
    termination_log: Path, monkeypatch: pytest.MonkeyPatch, order: str, said: str
) -> None:
    monkeypatch.setenv("FINETUNE_ORDER", order)
    assert program.main([]) == ExitCode.USER
    failure = failure_in(termination_log)
    assert failure.reason is Reason.ORDER_INVALID
    assert said in failure.message


def test_an_order_file_that_does_not_exist_is_refused(termination_log: Path, tmp_path: Path) -> None:
    assert program.main(["run", str(tmp_path / "missing.json")]) == ExitCode.USER
    assert "the order cannot be read" in failure_in(termination_log).message


class SafetensorError(Exception):
    """As the safetensors library raises it."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), Reason.STORAGE_FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), Reason.STORAGE_FULL),
        (SafetensorError("Error while serializing: No space left on device (os error 28)"), Reason.STORAGE_FULL),
        (OSError(errno.EROFS, "Read-only file system"), Reason.STORAGE_FAILED),
        (OSError(errno.EIO, "Input/output error"), Reason.STORAGE_FAILED),
        (OSError(errno.ESTALE, "Stale file handle"), Reason.STORAGE_FAILED),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), Reason.STORAGE_FAILED),
    ],
)
def test_a_full_or_broken_volume_is_the_infrastructures_fault(
    workplace: Workplace, termination_log: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: Reason
) -> None:
    assert run_with(raising(error), workplace, monkeypatch) == ExitCode.INFRASTRUCTURE
    failure = failure_in(termination_log)
    assert failure.reason is reason
    assert str(workplace.directory) in failure.message


def test_a_full_volume_is_told_with_its_mount_and_what_to_do(
    workplace: Workplace, termination_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("finetune_trainer.artifacts.os.fsync", no_space)
    monkeypatch.setenv("FINETUNE_ORDER", workplace.prepare_order().to_json())
    assert program.main([]) == ExitCode.INFRASTRUCTURE
    message = failure_in(termination_log).message
    assert "the artifacts volume (mounted at /" in message
    assert "Enlarge the claim of spec.artifacts, or delete" in message
    assert not (workplace.directory / "prepare").exists()


def test_a_failed_write_of_torch_on_a_full_volume_is_told_as_full(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.save says only that a write failed; how much is free decides what that was."""
    usage = SimpleNamespace(total=2**30, used=2**30 - 10, free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    error = RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0 PytorchStreamWriter")
    failure = storage_errors.as_storage_failure(error, workplace.directory)
    assert failure is not None
    assert failure.reason is Reason.STORAGE_FULL
    assert "0 MiB of 1024 MiB free" in failure.message


def test_a_folder_that_may_not_be_written_is_told_with_user_and_group(
    workplace: Workplace, termination_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", str(workplace.directory / ".prepare.1"))
    assert run_with(raising(error), workplace, monkeypatch) == ExitCode.INFRASTRUCTURE
    assert f"user {os.getuid()} or group {os.getgid()} may write" in failure_in(termination_log).message


def test_a_refused_access_elsewhere_is_a_defect(
    workplace: Workplace, termination_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/root/secret")
    assert run_with(raising(error), workplace, monkeypatch) == ExitCode.DEFECT


def test_an_input_that_only_root_may_read_is_told_with_field_and_remedy(
    workplace: Workplace, termination_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = workplace.model / "config.json"
    error = PermissionError(errno.EACCES, "Permission denied", str(model))
    assert run_with(raising(error), workplace, monkeypatch) == ExitCode.USER
    failure = failure_in(termination_log)
    assert failure.reason is Reason.MODEL_INVALID
    assert "spec.baseModel" in failure.message
    assert "chmod -R a+rX" in failure.message


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_step_with_exit_code_4(
    workplace: Workplace, termination_log: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def step(_order: Order, _reporter: Reporter) -> Result:
        os.kill(os.getpid(), number)
        raise AssertionError("went on after the signal")

    assert run_with(step, workplace, monkeypatch) == ExitCode.STOPPED
    assert failure_in(termination_log).reason is Reason.PREEMPTED


def test_help_names_the_ways_to_start() -> None:
    path = ":".join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-m", "finetune_trainer", "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": path},
    )
    assert "FINETUNE_ORDER" in done.stdout
    assert "import-gguf" in done.stdout
    assert "exit codes" in done.stdout
