"""Finished work on the artifacts volume: a step's folder is there whole, or it is not there.

A step writes aside, in `<directory>/.<step>.<random>`; every file is fsynced, then come `manifest.json` with the
digests of all files, `result.json`, and `COMPLETE` last; then the folder is renamed to `<directory>/<step>`.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from finetune_api.group import Step
from finetune_api.orders import COMPLETE_MARKER, RESULT_FILE, OrderBase
from finetune_api.results import Result, parse_result
from finetune_trainer.digests import digests_of_files, document_digest, file_digest, files_below

MANIFEST_FILE = "manifest.json"


class Marker(BaseModel):
    """Content of COMPLETE: whose work this is, and the digest of the manifest, which has those of all files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    manifest: str


def order_identity(order: OrderBase) -> str:
    """Digest of an order: what is asked for, not where it is put, what the cluster has, nor how the manifest's fields
    are called."""
    document = order.model_dump(mode="json", by_alias=True, exclude=set(order.circumstances))
    return document_digest(_without(document, "manifestField"))


def find_complete(directory: Path, step: Step, identity: str | None = None) -> Result | None:
    """The result of a finished step that is whole and, where an identity is given, answers the same question."""
    folder = directory / step
    if not is_sealed(folder, identity):
        return None
    try:
        return parse_result((folder / RESULT_FILE).read_text())
    except (OSError, ValidationError):
        return None


@dataclass(frozen=True)
class StagedStep:
    """A step's folder while it is written aside."""

    directory: Path
    step: Step
    path: Path

    def commit(self, result: Result, identity: str) -> Result:
        """Puts the folder in its place. Returns the result that stands: another's, where that was faster."""
        finished = find_complete(self.directory, self.step, identity)
        if finished is not None:
            return finished
        (self.path / RESULT_FILE).write_text(result.model_dump_json(by_alias=True, exclude_none=True, indent=2) + "\n")
        seal(self.path, identity)
        replace_folder(self.path, self.directory / self.step)
        return result


@contextmanager
def staged_step(directory: Path, step: Step) -> Iterator[StagedStep]:
    """A new folder to write a step's files to. What is not committed is removed, leftovers of killed pods too."""
    remove_leftovers(directory, step)
    path = _aside(directory, step)
    path.mkdir(parents=True)
    try:
        yield StagedStep(directory, step, path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove_leftovers(directory: Path, step: Step) -> None:
    for leftover in directory.glob(f".{step}.*"):
        shutil.rmtree(leftover, ignore_errors=True)


def seal(folder: Path, identity: str) -> None:
    """Makes a folder whole: everything on the disk, then the manifest, then COMPLETE."""
    files = files_below(folder)
    for path in files:
        fsync_path(path)
    manifest = folder / MANIFEST_FILE
    write_durably(manifest, json.dumps(digests_of_files(folder, files), indent=2, sort_keys=True) + "\n")
    for subfolder in {path.parent for path in files} | {folder}:
        fsync_path(subfolder)
    marker = Marker(identity=identity, manifest=file_digest(manifest))
    write_durably(folder / COMPLETE_MARKER, marker.model_dump_json() + "\n")
    fsync_path(folder)


def is_sealed(folder: Path, identity: str | None = None) -> bool:
    """Whether a folder is whole, and whose it should be. Files that were cut or changed are found by their digests."""
    try:
        marker = Marker.model_validate_json((folder / COMPLETE_MARKER).read_text())
        manifest = folder / MANIFEST_FILE
        if identity not in (None, marker.identity) or marker.manifest != file_digest(manifest):
            return False
        return is_whole(folder, json.loads(manifest.read_text()))
    except (OSError, ValueError):
        return False


def is_whole(folder: Path, digests: Mapping[str, str]) -> bool:
    """Whether a folder was finished (COMPLETE is there), and its files are still those of these digests by path."""
    if not (folder / COMPLETE_MARKER).is_file():
        return False
    try:
        return digests == digests_of_files(folder, [folder / name for name in digests])
    except OSError:
        return False


def write_durably(path: Path, text: str) -> None:
    """Writes a file so that after a crash it has either the old or the new content."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        aside.write_text(text)
        fsync_path(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def fsync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_folder(new: Path, place: Path) -> None:
    """Renames a folder into its place, and removes what was there."""
    old = _aside(place.parent, place.name)
    if place.exists():
        os.rename(place, old)
    os.rename(new, place)
    fsync_path(place.parent)
    shutil.rmtree(old, ignore_errors=True)


def _aside(directory: Path, name: str) -> Path:
    return directory / f".{name}.{uuid.uuid4().hex}"


def _without(document: object, key: str) -> object:
    if isinstance(document, dict):
        return {name: _without(value, key) for name, value in document.items() if name != key}
    if isinstance(document, list):
        return [_without(value, key) for value in document]
    return document
