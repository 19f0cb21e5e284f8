"""Checkpoints on the artifacts volume: written aside, sealed, and renamed into their place.

`<folder>/checkpoint-<step>` holds what transformers' Trainer writes, then `manifest.json` with the digests of these
files, and `COMPLETE` last. Nothing of a checkpoint is believed that the manifest does not confirm.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from finetune_api.fields import WireModel
from finetune_api.orders import COMPLETE_MARKER
from finetune_trainer.artifacts import MANIFEST_FILE, fsync_path, is_whole, replace_folder, write_durably
from finetune_trainer.claims import Claim
from finetune_trainer.digests import digests_of_files, files_below
from finetune_trainer.storage_errors import as_storage_failure
from finetune_trainer.train.team import ALONE, Team

KEPT = 2
"""The newest ones; the older of them is for the day on which the newer one turns out to be damaged."""
_PREFIX = "checkpoint-"
"""As transformers' Trainer names them."""
_UNFINISHED = ".unfinished"


class Course(WireModel):
    """How a training goes on from a checkpoint, besides what the Trainer keeps itself."""

    rollbacks: int = 0
    """How often it went back to a checkpoint, since it diverged."""
    lr_scale: float = 1.0
    """What is left of the learning rate. Loading the Trainer's own files would bring the old rate back."""
    since: int = 0
    """The step that it went back to: how many steps were left out before was another course's doing."""

    def slower_from(self, step: int) -> Course:
        return Course(rollbacks=self.rollbacks + 1, lr_scale=self.lr_scale / 2, since=step)


class CheckpointManifest(Course):
    """The course that was taken to it, and what it holds."""

    identity: str
    """Whose it is: the digest of data, model and settings."""
    step: int
    pod_uid: str | None = None
    """The pod that wrote it."""
    files: dict[str, str]
    """sha256 digest of each file, by its path in the checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """One that was found whole."""

    path: Path
    manifest: CheckpointManifest

    @property
    def step(self) -> int:
        return self.manifest.step

    @property
    def course(self) -> Course:
        return Course.model_validate(self.manifest.model_dump(include=set(Course.model_fields)))


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training. `problem` hears of those that cannot be used. Where several processes train
    together, the first one reads, seals and removes, and all ask at the same time. Nothing is changed once another pod
    has claimed them."""

    folder: Path
    identity: str
    claim: Claim
    problem: Callable[[str], object] = lambda message: None
    team: Team = ALONE

    @property
    def unfinished(self) -> Path:
        """Where the Trainer writes them: no two pods write to one file."""
        return self.folder / f"{_UNFINISHED}-{self.claim.writer}"

    def last(self) -> Checkpoint | None:
        """The last whole checkpoint. Newer ones that are torn or another training's are removed."""
        return self.team.told_by_first(self._last)

    def _last(self) -> Checkpoint | None:
        self.remove_unfinished()
        for path in self._newest_first():
            found = self._open(path)
            if found is not None:
                return found
            shutil.rmtree(path, ignore_errors=True)
        return None

    def of_step(self, step: int) -> Checkpoint | None:
        path = self._place(step)
        return self.team.told_by_first(lambda: self._open(path) if path.is_dir() else None)

    def before(self, step: int) -> Checkpoint | None:
        """The last whole one that was written before a step was taken."""

        def find() -> Checkpoint | None:
            earlier = (self._open(path) for path in self._newest_first() if step_of(path) < step)
            return next((found for found in earlier if found is not None), None)

        return self.team.told_by_first(find)

    @contextmanager
    def writing(self, step: int, course: Course) -> Iterator[None]:
        """Within, the Trainer writes a checkpoint; then it is sealed and gets its place. A volume that is full or
        broken ends in an InfrastructureError, with the checkpoints that were there before."""
        try:
            self._require_claim()
            yield
            self.team.wait()
            self.team.told_by_first(lambda: self._seal(step, course))
        except Exception as error:
            failure = as_storage_failure(error, self.folder)
            if self.team.is_first:
                shutil.rmtree(self.unfinished, ignore_errors=True)
            if failure is None:
                raise
            raise failure from error

    def _require_claim(self) -> None:
        if self.team.is_first:
            self.claim.require()

    def prune(self, also_keep: int | None) -> None:
        """Removes all but the newest two and the given step's."""
        self._require_claim()
        for path in self._newest_first()[KEPT:] if self.team.is_first else ():
            if step_of(path) != also_keep:
                shutil.rmtree(path, ignore_errors=True)

    def roll_back(self, target: Checkpoint, course: Course) -> None:
        """Makes an earlier checkpoint the last one, from which the training goes on in another course: from those
        before it as well, should it turn out to be damaged."""
        self.team.told_by_first(lambda: self._roll_back(target, course))

    def _roll_back(self, target: Checkpoint, course: Course) -> None:
        self.claim.require()
        for path in reversed(self._newest_first()):
            manifest = _read_manifest(path)
            if step_of(path) > target.step:
                shutil.rmtree(path, ignore_errors=True)
            elif manifest is not None and manifest.identity == self.identity:
                _write_manifest(path, manifest.model_copy(update=course.model_dump()))

    def what_is_kept(self) -> str:
        """For people: where the next attempt goes on. After `last`, all that is in its place is whole."""
        newest = max(map(step_of, self._newest_first()), default=0)
        return f"the checkpoint of step {newest} is kept" if newest > 0 else "nothing had been learnt yet"

    def remove_unfinished(self) -> None:
        """Others' too, which died over it."""
        for leftover in (*self.folder.glob(f"{_UNFINISHED}*"), *self.folder.glob(f".{_PREFIX}*")):
            shutil.rmtree(leftover, ignore_errors=True)

    def _seal(self, step: int, course: Course) -> None:
        aside = self.unfinished / self._place(step).name
        files = files_below(aside)
        for path in (*files, *{path.parent for path in files}):
            fsync_path(path)
        manifest = CheckpointManifest(
            identity=self.identity,
            step=step,
            **course.model_dump(),
            pod_uid=self.claim.writer,
            files=digests_of_files(aside, files),
        )
        _write_manifest(aside, manifest)
        self.claim.require()
        write_durably(aside / COMPLETE_MARKER, f"{self.identity}\n")
        fsync_path(aside)
        replace_folder(aside, self._place(step))

    def _open(self, path: Path) -> Checkpoint | None:
        """None, and a word to the user, where it is not whole or not ours."""
        manifest = _read_manifest(path)
        if manifest is None or not is_whole(path, manifest.files):
            self.problem(f"{path.name} is not whole: it was torn or changed, and is not used")
            return None
        if manifest.identity != self.identity:
            self.problem(f"{path.name} is another training's (its dataset, base model or settings differ): not used")
            return None
        return Checkpoint(path, manifest)

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob(f"{_PREFIX}*"), key=step_of, reverse=True)

    def _place(self, step: int) -> Path:
        return self.folder / f"{_PREFIX}{step}"


def newest_step(folder: Path) -> int:
    """Of the checkpoints that are in their place, whole or not; 0 where there is none."""
    return max((step_of(path) for path in folder.glob(f"{_PREFIX}*")), default=0)


def step_of(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix(_PREFIX)
    return int(number) if number.isdigit() else -1


def _read_manifest(folder: Path) -> CheckpointManifest | None:
    try:
        return CheckpointManifest.model_validate_json((folder / MANIFEST_FILE).read_text())
    except (OSError, ValidationError):
        return None


def _write_manifest(folder: Path, manifest: CheckpointManifest) -> None:
    write_durably(folder / MANIFEST_FILE, manifest.model_dump_json(by_alias=True, indent=2) + "\n")
