"""The first process inside a cluster's namespaces: sets the node up and keeps its components running.

When it dies, the kernel ends every other process of the cluster with it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from localcluster import node_setup
from localcluster.api_client import ApiClient
from localcluster.node_plan import Component, ComponentName, NodePlan

TICK_SECONDS = 0.1
RESTART_SECONDS = 0.5
STOP_SECONDS = 10.0
WAKING_SIGNALS = (signal.SIGCHLD, signal.SIGHUP)


@dataclass
class Running:
    """One component's process, if it has one, and when it may be started (again)."""

    component: Component
    pid: int | None = None
    starts: int = 0
    not_before: float = 0.0
    terminated_at: float | None = None


@dataclass
class Supervisor:
    plan: NodePlan
    components: list[Running] = field(default_factory=list)
    reported: str = ""

    def run(self) -> None:
        # Blocked signals wait for sigtimedwait; unblocked ones would be dropped, as this is a namespace's pid 1.
        signal.pthread_sigmask(signal.SIG_BLOCK, WAKING_SIGNALS)
        self.components = [Running(component) for component in self.plan.components]
        while True:
            self._reap()
            for running in self.components:
                self._bring_to_desired_state(running)
            self._report()
            signal.sigtimedwait(WAKING_SIGNALS, TICK_SECONDS)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for running in self.components:
                if running.pid == pid:
                    self._ended(running, status)

    def _ended(self, running: Running, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        print(f"{time.strftime('%X')} {running.component.name} ended with {code}", flush=True)
        running.pid = None
        running.terminated_at = None
        running.not_before = time.monotonic() + RESTART_SECONDS

    def _bring_to_desired_state(self, running: Running) -> None:
        if self._is_to_be_stopped(running.component.name):
            _stop(running)
        elif running.pid is None and time.monotonic() >= running.not_before and _answers(running.component.after):
            _start(running)

    def _is_to_be_stopped(self, name: ComponentName) -> bool:
        return Path(self.plan.run, "stopped", name).exists()

    def _report(self) -> None:
        state = {running.component.name: {"pid": running.pid, "starts": running.starts} for running in self.components}
        text = json.dumps(state)
        if text != self.reported:
            written = Path(self.plan.run, "processes.json.new")
            written.write_text(text)
            written.rename(Path(self.plan.run, "processes.json"))
            self.reported = text


def _start(running: Running) -> None:
    component = running.component
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    running.pid = os.posix_spawnp(
        component.command[0],
        component.command,
        {**os.environ, **component.environment},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, component.log, flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setpgroup=0,
        setsigmask=(),
        setsigdef=WAKING_SIGNALS,
    )
    running.starts += 1


def _stop(running: Running) -> None:
    if running.pid is None:
        return
    if running.terminated_at is None:
        running.terminated_at = time.monotonic()
        os.kill(running.pid, signal.SIGTERM)
    elif time.monotonic() > running.terminated_at + STOP_SECONDS:
        os.kill(running.pid, signal.SIGKILL)


def _answers(address: str) -> bool:
    """A component that starts into a refusal backs off for seconds, so it starts when it will be answered."""
    kind, _, rest = address.rpartition(":")
    if not address:
        return True
    if kind == "ready":
        return ApiClient(Path(rest)).is_ready()
    try:
        if kind:
            socket.create_connection((kind, int(rest)), timeout=1).close()
        else:
            with socket.socket(socket.AF_UNIX) as unix:
                unix.connect(address)
    except OSError:
        return False
    return True


def main() -> None:
    plan = NodePlan.load(Path(sys.argv[1]))
    node_setup.set_up(plan)
    Supervisor(plan).run()


if __name__ == "__main__":
    main()
