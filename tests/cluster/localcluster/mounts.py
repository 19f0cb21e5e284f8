"""Mounts that lead into a folder, in whichever mount namespace of the machine: a node's own are seen in no other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo (proc_pid_mountinfo(5)): the root is what of the device is mounted at the target."""

    device: str
    root: Path
    target: Path

    @classmethod
    def parse(cls, line: str) -> Mount:
        fields = [_unescaped(field) for field in line.split(" ")[:5]]
        return cls(fields[2], Path(fields[3]), Path(fields[4]))


def leading_into(folder: Path) -> list[str]:
    """Every mount of the folder or of what is in it, and every mount at a place in it, with a process that keeps it."""
    device, inside = _place_on_device(folder)
    return [
        f"{mount.target} (process {pid})"
        for pid in _one_process_of_each_namespace()
        for mount in _mounts_of(pid)
        if mount.target.is_relative_to(folder) or (mount.device == device and mount.root.is_relative_to(inside))
    ]


def _place_on_device(folder: Path) -> tuple[str, Path]:
    """A bind mount does not tell the path that it was made from, but where that is on its device."""
    above = [mount for mount in _mounts_of("self") if folder.is_relative_to(mount.target)]
    holder = max(
        reversed(above), key=lambda mount: len(mount.target.parts)
    )  # of several at one place, the last is seen
    return holder.device, holder.root / folder.relative_to(holder.target)


def _one_process_of_each_namespace() -> list[str]:
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.setdefault((process / "ns/mnt").stat().st_ino, process.name)
        except OSError:  # it has ended
            continue
    return list(found.values())


def _mounts_of(pid: str) -> list[Mount]:
    try:
        return [Mount.parse(line) for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    except OSError:
        return []


def _unescaped(field: str) -> str:
    return field.encode().decode("unicode_escape") if "\\" in field else field
