"""A cluster's node as this machine sees it: a tree of processes in namespaces of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from localcluster import processes, progress
from localcluster.errors import ClusterError
from localcluster.locations import Checkout
from localcluster.node_plan import ComponentName, NodePlan
from localcluster.processes import Process, wait_until

SUPERVISOR = "localcluster.supervisor"
COMPONENT_SECONDS = 30
NAMESPACES = ("--mount", "--net", "--pid", "--uts", "--ipc")


def plan_file(checkout: Checkout) -> Path:
    return checkout.configuration / "node.json"


def load_plan(checkout: Checkout) -> NodePlan:
    return NodePlan.load(plan_file(checkout))


def start(checkout: Checkout) -> Process:
    """Starts the supervisor as the first process of fresh namespaces; it dies with its launcher."""
    package_root = Path(__file__).resolve().parents[1]
    unshare = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    log = checkout.logs / "supervisor.log"
    with log.open("ab") as output:
        launcher = subprocess.Popen(
            [*unshare, sys.executable, "-m", SUPERVISOR, str(plan_file(checkout))],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(package_root), "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
    if not wait_until(lambda: first_process(checkout) is not None or launcher.poll() is not None, 10):
        launcher.kill()
    first = first_process(checkout)
    if first is None:
        raise ClusterError(
            "the node's namespaces cannot be made",
            log=log,
            log_tail=progress.tail(log),
            remedy="run this as root, on a machine or virtual machine that allows unshare",
        )
    return first


def first_process(checkout: Checkout) -> Process | None:
    """The supervisor, pid 1 inside: the child of its launcher. Both have the same arguments, and so have, for the
    blink before they become another program, the supervisor's own children."""
    parents = {process: processes.parent(process.pid) for process in _supervisor_processes(checkout)}
    pids = {process.pid for process in parents}
    launchers = {process.pid for process, parent in parents.items() if parent not in pids}
    return next((process for process, parent in parents.items() if parent in launchers), None)


def kill(checkout: Checkout) -> list[int]:
    """Ends the node with all its processes; returns those that are left, which should be none."""
    first = first_process(checkout)
    namespace = processes.pid_namespace(first.pid) if first else None
    for process in _supervisor_processes(checkout):
        process.kill()
    if namespace is None or namespace == processes.pid_namespace(os.getpid()):
        return []
    wait_until(lambda: not processes.in_pid_namespace(namespace), 10)
    return processes.in_pid_namespace(namespace)


def components(checkout: Checkout) -> dict[str, dict[str, int | None]]:
    """Each component's process inside the node (none: it is down), and how often it was started."""
    state: dict[str, dict[str, int | None]] = json.loads((checkout.run / "processes.json").read_text())
    return state


def stop_component(checkout: Checkout, name: ComponentName) -> bool:
    """Asks the supervisor to end it and keep it down; says whether it is."""
    (checkout.run / "stopped" / name).touch()
    return wait_until(lambda: not _has_process(checkout, name), COMPONENT_SECONDS)


def start_component(checkout: Checkout, name: ComponentName) -> bool:
    (checkout.run / "stopped" / name).unlink(missing_ok=True)
    return wait_until(lambda: _has_process(checkout, name), COMPONENT_SECONDS)


def _has_process(checkout: Checkout, name: ComponentName) -> bool:
    component = components(checkout).get(name)
    return component is not None and component["pid"] is not None


def enter(first: Process, command: list[str]) -> list[str]:
    """The command line that runs a command among the node's processes, mounts and links."""
    return ["nsenter", f"--target={first.pid}", "--mount", "--net", "--pid", "--uts", "--ipc", "--", *command]


def _supervisor_processes(checkout: Checkout) -> list[Process]:
    return processes.with_arguments("-m", SUPERVISOR, str(plan_file(checkout)))
