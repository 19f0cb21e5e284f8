"""Finds what the order names inside its volume, and nothing outside of it."""

from __future__ import annotations

from pathlib import Path

from finetune_api.conditions import Reason
from finetune_api.orders import Location
from finetune_trainer.failures import UserError

_NAMES_SHOWN = 8


def resolve_file(location: Location, reason: Reason) -> Path:
    """The file at a location; `reason` is what the resource fails with when it is not one."""
    path = resolve(location, reason)
    if not path.is_file():
        raise UserError(reason, f"{_named(location)} is a folder, not a file; it holds {_names_in(path)}")
    return path


def resolve_folder(location: Location, reason: Reason) -> Path:
    """The folder at a location; `reason` is what the resource fails with when it is not one."""
    path = resolve(location, reason)
    if not path.is_dir():
        raise UserError(reason, f"{_named(location)} is a file, not a folder: name the folder that holds it")
    return path


def resolve(location: Location, reason: Reason) -> Path:
    """Where a location leads, links followed, provided that it exists and stays in its volume."""
    volume = Path(location.volume).resolve()
    wanted = volume / location.path
    if Path(location.path).is_absolute() or not wanted.resolve().is_relative_to(volume):
        raise UserError(
            reason,
            f"{_named(location)} leads out of its volume: give a path inside the volume, "
            "without '..' and not through a link that leads out",
        )
    if not wanted.exists():
        raise UserError(reason, f"{_named(location)} does not exist{_what_is_there(volume, wanted)}")
    return wanted.resolve()


def _named(location: Location) -> str:
    return f"{location.manifest_field}: '{location.path}'"


def _what_is_there(volume: Path, wanted: Path) -> str:
    """The nearest folder that does exist, and what is in it."""
    if not volume.is_dir():
        return ": its volume is not mounted"
    nearest = next(parent for parent in wanted.parents if parent.is_dir())
    place = "the volume" if nearest == volume else f"'{nearest.relative_to(volume).as_posix()}'"
    return f": {place} holds {_names_in(nearest)}"


def _names_in(folder: Path) -> str:
    entries = sorted(folder.iterdir())
    names = [entry.name + ("/" if entry.is_dir() else "") for entry in entries if not entry.name.startswith(".")]
    if not names:
        return "nothing"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
