"""What the training took, over all attempts: kept beside the checkpoints, since a pod's own memory ends with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from finetune_trainer.artifacts import write_durably
from finetune_trainer.timestamps import utc_now
from finetune_trainer.train.energy import EnergyMeter, NoMeter

LEDGER_FILE = "attempts.json"


class Attempt(BaseModel):
    """What one pod used."""

    model_config = ConfigDict(extra="forbid")

    started: str
    seconds: float = 0.0
    training_seconds: float = 0.0
    tokens: int = 0
    energy_joules: float | None = None
    peak_memory_bytes: int = 0


class _Attempts(BaseModel):
    attempts: list[Attempt] = []


class Ledger:
    """All attempts, of which the last is going on. Leaving the `with` block writes it down, however it is left."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = folder / LEDGER_FILE
        self._clock = clock
        self._began = clock()
        self._attempts = _read(self._path)
        self._attempts.append(Attempt(started=utc_now()))
        self._meter: EnergyMeter | NoMeter | None = None
        self._peak_memory: Callable[[], int] = lambda: 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.write()
        except OSError:
            # On a full volume the cause of the failure matters, not that its time was not written down.
            if error is None:
                raise

    def measure(self, meter: EnergyMeter | NoMeter, peak_memory: Callable[[], int]) -> None:
        """From here on a device is in use."""
        self._meter = meter
        self._peak_memory = peak_memory

    def learnt(self, tokens: int, training_seconds: float) -> None:
        """So much was learnt in this attempt so far."""
        self._attempts[-1].tokens = tokens
        self._attempts[-1].training_seconds = training_seconds

    def write(self) -> None:
        current = self._attempts[-1]
        current.seconds = round(self._clock() - self._began, 3)
        current.peak_memory_bytes = self._peak_memory()
        current.energy_joules = None if self._meter is None else self._meter.joules()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self._path, _Attempts(attempts=self._attempts).model_dump_json(indent=2) + "\n")

    @property
    def hours(self) -> float:
        return sum(attempt.seconds for attempt in self._attempts) / 3600

    @property
    def tokens_per_second(self) -> float:
        seconds = sum(attempt.training_seconds for attempt in self._attempts)
        return sum(attempt.tokens for attempt in self._attempts) / seconds if seconds else 0.0

    @property
    def peak_memory_bytes(self) -> int:
        return max(attempt.peak_memory_bytes for attempt in self._attempts)

    @property
    def energy_kilowatt_hours(self) -> float | None:
        """None when it was not measured in every attempt that computed."""
        joules = [attempt.energy_joules for attempt in self._attempts if attempt.tokens]
        measured = [value for value in joules if value is not None]
        return sum(measured) / 3.6e6 if measured and len(measured) == len(joules) else None

    @property
    def energy_note(self) -> str | None:
        if self.energy_kilowatt_hours is not None:
            return None
        note = None if self._meter is None else self._meter.note
        return note or "not measured in every attempt"


def _read(path: Path) -> list[Attempt]:
    """What earlier attempts wrote; a ledger that cannot be read costs figures, never the training."""
    try:
        return _Attempts.model_validate_json(path.read_text()).attempts
    except (OSError, ValidationError):
        return []
