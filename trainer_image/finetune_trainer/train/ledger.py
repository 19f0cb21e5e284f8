"""What the training took, over all attempts: kept beside the checkpoints, since a pod's own memory ends with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from finetune_api.exit_codes import ExitCode
from finetune_api.guard import GuardReport
from finetune_trainer.artifacts import write_durably
from finetune_trainer.failures import TrainerFailure
from finetune_trainer.timestamps import utc_now
from finetune_trainer.train.usage import Usage

LEDGER_FILE = "attempts.json"
JOULES_PER_KILOWATT_HOUR = 3.6e6
_KEEPING = frozenset({ExitCode.STOPPED, ExitCode.OVERHEATED, ExitCode.DEADLINE_EXCEEDED})
"""Ends that leave a checkpoint of all that was learnt."""


class Outcome(StrEnum):
    """How an attempt ended."""

    GOING_ON = "GoingOn"
    """Of an earlier attempt: it was killed before it could say."""
    FINISHED = "Finished"
    KEPT = "Kept"
    """Stopped or paused, with what it had learnt in a checkpoint."""
    FAILED = "Failed"


class Attempt(BaseModel):
    """What one pod used."""

    model_config = ConfigDict(extra="forbid")

    started: str
    outcome: Outcome = Outcome.GOING_ON
    seconds: float = 0.0
    training_seconds: float = 0.0
    tokens: int = 0
    energy_joules: dict[str, float] = {}
    """By the GPU's UUID."""
    energy_note: str | None = None
    """Why these joules are not the attempt's energy, when they are not."""
    training_joules: float | None = None
    """Of `training_seconds`."""
    training_rested_seconds: float = 0.0
    training_rested_joules: float = 0.0
    """What the guard took of them, and what the GPUs drew in that time."""
    gpu_product: str | None = None
    peak_memory_bytes: int = 0
    rested_seconds: float = 0.0
    is_paused: bool = False
    highest_celsius: float | None = None
    highest_mean_watts: float | None = None

    @property
    def joules(self) -> float:
        return sum(self.energy_joules.values())

    @property
    def working_seconds(self) -> float:
        return self.training_seconds - self.training_rested_seconds

    @property
    def working_joules(self) -> float:
        return (self.training_joules or 0.0) - self.training_rested_joules

    def take(self, usage: Usage) -> None:
        self.energy_joules = dict(usage.joules)
        self.energy_note = usage.energy_note
        self.gpu_product = usage.product
        self.rested_seconds = round(usage.rested_seconds, 3)
        self.is_paused = usage.is_paused
        self.highest_celsius = usage.highest_celsius
        self.highest_mean_watts = usage.highest_mean_watts


class _Attempts(BaseModel):
    attempts: list[Attempt] = []


class Ledger:
    """All attempts, of which the last is going on. Leaving the `with` block writes it down, however it is left. Of
    several processes that train together, one keeps it, and only while no other pod has gone on in its place.

    `write` may be called from another thread.
    """

    def __init__(
        self, folder: Path, clock: Callable[[], float] = time.monotonic, *, is_kept: Callable[[], bool] = lambda: True
    ) -> None:
        self._path = folder / LEDGER_FILE
        self._clock = clock
        self._is_kept = is_kept
        self._began = clock()
        self._lock = threading.Lock()
        self._earlier = _read(self._path)
        self._current = Attempt(started=utc_now())
        self._usage: Callable[[], Usage] = Usage
        self._peak_memory: Callable[[], int] = lambda: 0
        self._before_training: Usage | None = None
        self._learnt_before = self._current

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._current.outcome = _outcome(error)
        try:
            self.write()
        except OSError:
            # On a full volume the cause of the failure matters, not that its time was not written down.
            if error is None:
                raise

    def measure(self, usage: Callable[[], Usage], peak_memory: Callable[[], int]) -> None:
        """From here on a device is in use."""
        self._usage = usage
        self._peak_memory = peak_memory

    def training_begins(self) -> None:
        """What is used from here on is used for learning; what was used before, for loading. After a rollback it
        begins again."""
        self._before_training, self._learnt_before = self._usage(), self._current.model_copy()

    def training_ends(self, agree: Callable[[float], float] = float) -> None:
        """The peak is that of learning: what writing and merging take tells the next plan nothing. `agree` gives the
        largest of several processes that train together."""
        peak = int(agree(self._peak_memory()))
        self._peak_memory = lambda: peak

    def learnt(self, tokens: int, training_seconds: float) -> None:
        """So much was learnt in this attempt so far."""
        usage = self._usage()
        self._current.tokens = tokens
        self._current.training_seconds = training_seconds
        before, done = self._before_training, self._learnt_before
        if before is None:
            return
        rested = usage.rested_seconds - before.rested_seconds
        self._current.training_rested_seconds = done.training_rested_seconds + rested
        if usage.energy_note is None and usage.joules:
            joules = sum(usage.joules.values()) - sum(before.joules.values())
            self._current.training_joules = (done.training_joules or 0.0) + joules
            rested_joules = usage.rested_joules - before.rested_joules
            self._current.training_rested_joules = done.training_rested_joules + rested_joules

    def write(self) -> None:
        """Durably, so that an attempt that is killed counts with what it had used by then."""
        if not self._is_kept():
            return
        with self._lock:
            self._current.seconds = round(self._clock() - self._began, 3)
            self._current.peak_memory_bytes = self._peak_memory()
            self._current.take(self._usage())
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._path, _Attempts(attempts=self._attempts).model_dump_json(indent=2) + "\n")

    @property
    def _attempts(self) -> list[Attempt]:
        return [*self._earlier, self._current]

    def running_seconds(self) -> float:
        """Of all attempts, up to this moment. What is done between two attempts is not known here, and not counted."""
        return sum(attempt.seconds for attempt in self._earlier) + self._clock() - self._began

    @property
    def hours(self) -> float:
        return sum(attempt.seconds for attempt in self._attempts) / 3600

    @property
    def tokens_per_second(self) -> float:
        """While it learnt, without rests of the guard: a plan for other limits learns from this."""
        seconds = sum(attempt.working_seconds for attempt in self._attempts)
        return sum(attempt.tokens for attempt in self._attempts) / seconds if seconds > 0 else 0.0

    @property
    def peak_memory_bytes(self) -> int:
        return max(attempt.peak_memory_bytes for attempt in self._attempts)

    @property
    def energy_kilowatt_hours(self) -> float | None:
        """Of all attempts that did not fail; None when it was not measured in each of them that computed."""
        if self.energy_note is not None:
            return None
        return _kilowatt_hours(self._that_counted)

    @property
    def energy_note(self) -> str | None:
        """Why there is no figure, when there is none."""
        if self._current.energy_note is not None:
            return self._current.energy_note
        computed = [attempt for attempt in self._that_counted if attempt.tokens]
        if any(attempt.energy_note or not attempt.energy_joules for attempt in computed):
            return "not measured in every attempt"
        return None if any(attempt.energy_joules for attempt in self._that_counted) else "not measured"

    @property
    def failed_kilowatt_hours(self) -> float | None:
        """Of the attempts that failed, up to the last time that it was written down; None when there were none, or
        where it was not measured."""
        failed = [attempt for attempt in self._earlier if _has_failed(attempt)]
        measured = [attempt for attempt in failed if attempt.energy_joules and not _is_others(attempt)]
        return _kilowatt_hours(measured) if measured else None

    @property
    def mean_watts(self) -> float | None:
        """Of all GPUs together while they trained, without rests of the guard; None where it was not measured."""
        measured = [attempt for attempt in self._attempts if attempt.training_joules is not None]
        seconds = sum(attempt.working_seconds for attempt in measured)
        return sum(attempt.working_joules for attempt in measured) / seconds if seconds > 0 else None

    @property
    def gpu_product(self) -> str | None:
        return self._current.gpu_product

    @property
    def rested_seconds_before(self) -> float:
        """Time that the guard took from earlier attempts."""
        return sum(attempt.rested_seconds for attempt in self._earlier)

    def guard_report(self) -> GuardReport:
        return GuardReport(
            throttled_seconds=f"{sum(attempt.rested_seconds for attempt in self._attempts):.1f}",
            pauses=sum(attempt.is_paused for attempt in self._attempts),
            highest_temperature_celsius=_highest(attempt.highest_celsius for attempt in self._attempts),
            highest_mean_watts=_highest(attempt.highest_mean_watts for attempt in self._attempts),
        )

    @property
    def _that_counted(self) -> list[Attempt]:
        return [*(attempt for attempt in self._earlier if not _has_failed(attempt)), self._current]


def kilowatt_hours_so_far(folder: Path) -> float | None:
    """Of all attempts, up to the last time that it was written down; None where none was measured."""
    measured = [attempt for attempt in _read(folder / LEDGER_FILE) if attempt.energy_joules and not _is_others(attempt)]
    return _kilowatt_hours(measured) if measured else None


def _has_failed(attempt: Attempt) -> bool:
    return attempt.outcome in (Outcome.FAILED, Outcome.GOING_ON)


def _is_others(attempt: Attempt) -> bool:
    """What was counted may have been drawn by other work."""
    return attempt.energy_note is not None and attempt.energy_note.startswith("not attributable")


def _kilowatt_hours(attempts: Iterable[Attempt]) -> float:
    return sum(attempt.joules for attempt in attempts) / JOULES_PER_KILOWATT_HOUR


def _highest(values: Iterable[float | None]) -> str | None:
    known = [value for value in values if value is not None]
    return f"{max(known):.1f}" if known else None


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return Outcome.FINISHED
    return Outcome.KEPT if isinstance(error, TrainerFailure) and error.exit_code in _KEEPING else Outcome.FAILED


def _read(path: Path) -> list[Attempt]:
    """What earlier attempts wrote; a ledger that cannot be read costs figures, never the training."""
    try:
        return _Attempts.model_validate_json(path.read_text()).attempts
    except (OSError, ValidationError):
        return []
