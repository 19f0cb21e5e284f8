"""Tells a person what is going on: a line when a step starts and ends, and a heartbeat while it lasts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from localcluster.errors import ClusterError

HEARTBEAT_SECONDS = 5.0
LOG_TAIL_LINES = 12
LINE_WIDTH = 110

_output = threading.Lock()
_running_commands: set[int] = set()
_ending = threading.Event()


def say(text: str) -> None:
    """One whole line on stderr (stdout carries results), also when several threads report."""
    with _output:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


@contextlib.contextmanager
def step(title: str, waiting_for: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Reports a step's start, its heartbeat with what it waits for, and its duration."""
    started = time.monotonic()
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            say(f"  … {title}: {time.monotonic() - started:.0f} s{_detail(waiting_for())}")

    say(f"▸ {title}")
    heartbeat = threading.Thread(target=beat, daemon=True)
    heartbeat.start()
    mark = "✗"
    try:
        yield
        mark = "✓"
    finally:
        over.set()
        heartbeat.join()
        say(f"{mark} {title} ({time.monotonic() - started:.1f} s)")


def run_logged(
    title: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    remedy: str = "",
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs a command as a step, its output in a log; a failure names the log, its end and the remedy."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with step(title, lambda: last_line(log)), log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        with ended_with_us(process):
            code = process.wait()
        if code != 0:
            raise ClusterError(
                f"{title} failed: {Path(command[0]).name} ended with {code}",
                log=log,
                log_tail=tail(log),
                remedy=remedy,
            )


@contextlib.contextmanager
def ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ends a process that leads its own session, children included, when the block is left early (Ctrl-C)."""
    _running_commands.add(process.pid)
    try:
        if _ending.is_set():
            raise KeyboardInterrupt
        yield
    finally:
        _running_commands.discard(process.pid)
        if process.poll() is None:
            _terminate(process.pid)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def end_running_commands() -> None:
    """Ends what other threads wait for, and whatever they would start next, so that they stop too."""
    _ending.set()
    for pid in list(_running_commands):
        _terminate(pid)


def _terminate(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)


def last_line(log: Path) -> str:
    lines = tail(log, lines=1)
    return lines.strip()


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log that may be long, and may be missing."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 16_384))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join([line for line in text.replace("\r", "\n").splitlines() if line.strip()][-lines:])


def _detail(text: str) -> str:
    return f" · {text[:LINE_WIDTH]}" if text else ""
