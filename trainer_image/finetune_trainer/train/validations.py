"""The losses on the held-out examples so far, by step: beside the checkpoints, so that a kill forgets none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from finetune_api.fields import WireModel
from finetune_trainer.artifacts import write_durably
from finetune_trainer.train.team import ALONE, Team

VALIDATIONS_FILE = "validations.json"


class _Kept(WireModel):
    identity: str
    losses: dict[int, float] = {}


class Validations:
    """Those of one training; step 0 is the base model. Of several processes that know them, the first one keeps
    them."""

    def __init__(self, folder: Path, identity: str, team: Team = ALONE) -> None:
        self._path = folder / VALIDATIONS_FILE
        self._team = team
        self._kept = team.told_by_first(lambda: _read(self._path, identity))

    @property
    def losses(self) -> Mapping[int, float]:
        return self._kept.losses

    def record(self, step: int, loss: float) -> None:
        self._keep(dict(self.losses) | {step: loss})

    def forget_after(self, step: int) -> None:
        """Steps that are taken once more are looked at once more."""
        self._keep({earlier: loss for earlier, loss in self.losses.items() if earlier <= step})

    def _keep(self, losses: dict[int, float]) -> None:
        if losses != self.losses:
            self._kept = self._kept.model_copy(update={"losses": losses})
            if self._team.is_first:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_durably(self._path, self._kept.model_dump_json(by_alias=True, indent=2) + "\n")


def _read(path: Path, identity: str) -> _Kept:
    """What cannot be read, or is another training's, is worked out once more."""
    try:
        kept = _Kept.model_validate_json(path.read_text())
    except (OSError, ValidationError):
        return _Kept(identity=identity)
    return kept if kept.identity == identity else _Kept(identity=identity)
