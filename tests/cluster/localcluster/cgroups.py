"""A cluster's own folder in every control-group hierarchy of the machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from localcluster.processes import wait_until

REMOVAL_SECONDS = 10.0


def create(name: str) -> None:
    for hierarchy, kind in _hierarchies():
        if kind == "cgroup2":
            _delegate_controllers(hierarchy)
        folder = hierarchy / name
        folder.mkdir(exist_ok=True)
        if kind == "cgroup2":
            _delegate_controllers(folder)
        _inherit_cpuset(folder)


def remove(name: str) -> bool:
    """Removes the folders, deepest first, once the kernel has let go of the last process; says whether it could."""
    return wait_until(lambda: not _remove_once(name), REMOVAL_SECONDS, every=0.05)


def remaining(name: str) -> list[Path]:
    return [hierarchy / name for hierarchy, _ in _hierarchies() if (hierarchy / name).is_dir()]


def _remove_once(name: str) -> list[Path]:
    for top in remaining(name):
        folders = [Path(folder) for folder, _, _ in os.walk(top, topdown=False)]
        for folder in folders:
            with contextlib.suppress(OSError):  # busy until its processes are reaped
                folder.rmdir()
    return remaining(name)


def _hierarchies() -> list[tuple[Path, str]]:
    """Mount point and type of each hierarchy, v1 and v2."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [(Path(fields[1]), fields[2]) for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def _inherit_cpuset(folder: Path) -> None:
    """A new cpuset of version 1 is empty, and takes no process before it has CPUs and memory nodes."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = folder / name
        if file.exists() and not file.read_text().strip():
            file.write_text((folder.parent / name).read_text())


def _delegate_controllers(folder: Path) -> None:
    """Version 2 gives a child only the controllers that its parent hands down."""
    for controller in (folder / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):  # one that this machine does not hand down
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")
