"""Predictions of an evaluation that is not finished: kept batch by batch, so that a killed pod costs one batch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from finetune_trainer.artifacts import fsync_path
from finetune_trainer.claims import Claim
from finetune_trainer.scoring.predictions import ScoredPrediction

PARTIAL_FOLDER = "evaluate-unfinished"
CLAIM_FILE = "evaluate-writer.json"
_FILE = "batches.jsonl"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Header(_Line):
    """Whose predictions these are."""

    identity: str


class FinishedBatch(_Line):
    """The predictions of one batch and the time they took."""

    seconds: float
    attention: str
    """The attention's kernel, as transformers names it."""
    again: bool = False
    """Whether these examples had been answered before, and were asked again in other batches."""
    predictions: tuple[ScoredPrediction, ...]


def kept_batches(directory: Path) -> int:
    """How many an earlier pod left, whosever they are."""
    try:
        return max(0, (directory / PARTIAL_FOLDER / _FILE).read_bytes().count(b"\n") - 1)
    except OSError:
        return 0


class PartialPredictions:
    """A file that grows by a line a batch. What a crash left of a line is dropped, other content's work altogether.
    Whoever opens it last may write."""

    def __init__(self, directory: Path, identity: str) -> None:
        self._folder = directory / PARTIAL_FOLDER
        self._path = self._folder / _FILE
        self._claim = Claim.take(directory / CLAIM_FILE)
        self._finished = self._take_up(identity)

    @property
    def predictions(self) -> dict[str, ScoredPrediction]:
        """All first answers that are there, by example."""
        return self._by_example(again=False)

    @property
    def repeated(self) -> dict[str, ScoredPrediction]:
        """All answers that are there to examples that were asked again."""
        return self._by_example(again=True)

    @property
    def seconds(self) -> float:
        """Time that all batches took, those of earlier pods included."""
        return sum(batch.seconds for batch in self._finished)

    @property
    def attention(self) -> str:
        """What answered; the same in all batches, for model, device and libraries are."""
        return self._finished[0].attention

    def append(
        self, predictions: Sequence[ScoredPrediction], seconds: float, attention: str, *, again: bool = False
    ) -> None:
        """On the disk when this returns."""
        self._claim.require()
        batch = FinishedBatch(seconds=seconds, attention=attention, again=again, predictions=tuple(predictions))
        self._write(batch)
        self._finished.append(batch)

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._claim.path.unlink(missing_ok=True)

    def _by_example(self, *, again: bool) -> dict[str, ScoredPrediction]:
        batches = (batch for batch in self._finished if batch.again is again)
        return {prediction.id: prediction for batch in batches for prediction in batch.predictions}

    def _take_up(self, identity: str) -> list[FinishedBatch]:
        header, *lines = self._whole_lines() or [b""]
        if header != _Header(identity=identity).model_dump_json().encode():
            self._start_over(identity)
            return []
        finished = _readable(lines)
        if len(finished) < len(lines):
            self._keep(1 + len(finished))
        return finished

    def _whole_lines(self) -> list[bytes]:
        """Cuts off a last line that has no end, for the next one must not be glued to it."""
        if not self._path.is_file():
            return []
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self._path, whole)
        return content[:whole].splitlines()

    def _keep(self, lines: int) -> None:
        content = self._path.read_bytes().splitlines(keepends=True)
        os.truncate(self._path, sum(map(len, content[:lines])))

    def _start_over(self, identity: str) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._write(_Header(identity=identity))
        fsync_path(self._folder)

    def _write(self, line: _Line) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line.model_dump_json(by_alias=True, exclude_none=True) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _readable(lines: Sequence[bytes]) -> list[FinishedBatch]:
    """The batches up to the first line that was damaged."""
    finished: list[FinishedBatch] = []
    for line in lines:
        try:
            finished.append(FinishedBatch.model_validate_json(line))
        except ValidationError:
            break
    return finished
