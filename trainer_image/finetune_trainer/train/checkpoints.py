"""Checkpoints on the artifacts volume. One counts only with its COMPLETE marker, which is written last."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.artifacts import is_sealed, seal

_PREFIX = "checkpoint-"
"""As transformers' Trainer names them."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training."""

    folder: Path
    identity: str

    def last(self) -> Path | None:
        """The last complete checkpoint. Torn ones, and those of another training, are removed."""
        whole = None
        for checkpoint in sorted(self.folder.glob(f"{_PREFIX}*"), key=step_of, reverse=True):
            if whole is None and is_sealed(checkpoint, self.identity):
                whole = checkpoint
            else:
                shutil.rmtree(checkpoint, ignore_errors=True)
        return whole

    def complete(self, step: int) -> None:
        """Marks a step's checkpoint as whole, and only then removes the earlier ones."""
        newest = self.folder / f"{_PREFIX}{step}"
        seal(newest, self.identity)
        for checkpoint in self.folder.glob(f"{_PREFIX}*"):
            if checkpoint != newest:
                shutil.rmtree(checkpoint, ignore_errors=True)

    def what_is_kept(self) -> str:
        """For people: where the next attempt goes on."""
        last = self.last()
        return "nothing had been learnt yet" if last is None else f"the checkpoint of step {step_of(last)} is kept"


def step_of(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix(_PREFIX)
    return int(number) if number.isdigit() else -1
