"""Whose unfinished work is: the pod's that began it last.

A node that was cut off may come back, and its pod with it, when another pod has long gone on in its place. It may
compute, but it writes nothing any more: that would spoil its successor's work.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from finetune_api.orders import POD_UID_VARIABLE
from finetune_trainer.artifacts import write_durably
from finetune_trainer.failures import StoppedError
from finetune_trainer.timestamps import utc_now

CLAIM_FILE = "writer.json"


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    writer: str
    since: str


@dataclass(frozen=True)
class Claim:
    """The right to write, until another one takes it."""

    path: Path
    writer: str
    """Uid of the pod, or a number of its own for a process outside of one."""

    @classmethod
    def take(cls, path: Path) -> Claim:
        """From here on nobody else's claim to the same file stands."""
        claim = cls(path, os.environ.get(POD_UID_VARIABLE) or uuid.uuid4().hex)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, _Written(writer=claim.writer, since=utc_now()).model_dump_json() + "\n")
        return claim

    @property
    def stands(self) -> bool:
        """Not where the file is gone: the successor has finished the work."""
        try:
            return _Written.model_validate_json(self.path.read_text()).writer == self.writer
        except (FileNotFoundError, ValidationError):
            return False

    def require(self) -> None:
        if not self.stands:
            raise StoppedError(
                "another pod has gone on with this work, since this one's node was taken for lost: nothing of what "
                "this one did after that is kept"
            )
