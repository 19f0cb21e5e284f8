"""Processes known by pid and start time, so that a reused pid is never mistaken for one of ours."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Process:
    """A process of this machine: its pid, and the clock ticks since boot at which it started."""

    pid: int
    start_ticks: int

    @classmethod
    def of_pid(cls, pid: int) -> Process:
        status = _status(pid)
        if status is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(pid, status[1])

    def is_running(self) -> bool:
        """A zombie counts as gone: it holds nothing but its entry in the process table."""
        status = _status(self.pid)
        return status is not None and status[1] == self.start_ticks and status[0] not in "ZX"

    def kill(self, timeout: float = 10.0) -> bool:
        """Ends it at once; says whether it is gone."""
        if not self.is_running():
            return True
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return True
        return wait_until(lambda: not self.is_running(), timeout)


def wait_until(condition: Callable[[], bool], timeout: float, every: float = POLL_SECONDS) -> bool:
    """Waits for a condition; says whether it came true in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def with_arguments(*arguments: str) -> list[Process]:
    """Every process whose command line has exactly these arguments, one after the other."""
    wanted = "\0" + "\0".join(arguments) + "\0"
    found = [pid for pid in _pids() if wanted in "\0" + _command_line(pid)]
    return [Process(pid, status[1]) for pid in found if (status := _status(pid)) and status[0] not in "ZX"]


def in_pid_namespace(inode: int) -> list[int]:
    """Every process that lives in a pid namespace."""
    return [pid for pid in _pids() if pid_namespace(pid) == inode]


def pid_namespace(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/pid").stat().st_ino
    except OSError:
        return None


def parent(pid: int) -> int | None:
    status = _status(pid)
    return status[2] if status else None


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _status(pid: int) -> tuple[str, int, int] | None:
    """State letter, start time and parent, from the fields after the command's closing parenthesis."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[19]), int(fields[1])
