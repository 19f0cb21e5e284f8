"""Looks at the GPUs of this process once a second, keeps what they drew, and asks the controller how long to rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from finetune_api.guard import Guard, GuardState
from finetune_trainer.train.energy import EnergyMeter
from finetune_trainer.train.guard.controller import Controller, Leaving
from finetune_trainer.train.guard.gpu_limits import DrawnEnergy
from finetune_trainer.train.guard.gpus import Gpu, Reading
from finetune_trainer.train.usage import Usage
from finetune_trainer.vitals import Vitals

LOOK_SECONDS = 1.0
WRITE_SECONDS = 10.0
_FRESH_SECONDS = 0.1
_Number = TypeVar("_Number", int, float)


class Watch:
    """All that is known of this process's GPUs. May be used from several threads."""

    def __init__(
        self,
        gpus: Sequence[Gpu],
        guard: Guard | None,
        *,
        energy_note: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gpus = gpus
        self._clock = clock
        self._lock = threading.RLock()
        self._meter = EnergyMeter(energy_note)
        self._controller = Controller(guard, tuple(gpu.uuid for gpu in gpus)) if guard and gpus else None
        self._drawn = {gpu.uuid: DrawnEnergy() for gpu in gpus}
        self._looked = 0.0
        self._readings: Mapping[str, Reading] = {}
        self._highest_celsius: float | None = None
        self._highest_mean_watts: float | None = None
        self.rested_seconds = 0.0
        self.rested_joules = 0.0
        self.rested_before = 0.0
        """By earlier attempts."""
        self.is_paused = False
        self.has_worked = False
        """Whether a step was finished in this attempt."""
        self.look()

    @property
    def is_guarding(self) -> bool:
        return self._controller is not None

    def look(self) -> None:
        """Reads every GPU now."""
        with self._lock:
            now = self._looked = self._clock()
            self._readings = {gpu.uuid: gpu.read(now) for gpu in self._gpus}
            self._meter.add(self._readings)
            for uuid, reading in self._readings.items():
                self._drawn[uuid].add(reading)
                self._note_highest(reading, self._drawn[uuid])
            if self._controller is not None:
                self._controller.observe(self._readings, self._drawn)

    def _note_highest(self, reading: Reading, drawn: DrawnEnergy) -> None:
        self._highest_celsius = _largest((self._highest_celsius, reading.celsius))
        self._highest_mean_watts = _largest((self._highest_mean_watts, drawn.history.mean_watts))

    def began(self) -> None:
        """A micro-batch begins."""
        if self._controller is not None:
            with self._lock:
                # Saving a checkpoint is rest, too.
                self._look_unless_just_done()
                self._controller.began(self._clock())

    def ended(self) -> None:
        """A micro-batch ended."""
        if self._controller is not None:
            with self._lock:
                self.look()
                self._controller.ended(self._clock())

    @contextmanager
    def resting(self) -> Iterator[None]:
        """What is drawn within is not drawn for learning. Looks at the end."""
        before = self.joules
        yield
        self.look()
        self.rested_joules += self.joules - before

    @property
    def joules(self) -> float:
        """Of all GPUs of this process, at the last look."""
        return sum(self._meter.joules.values())

    def rest_needed(self) -> float:
        """Seconds that this process's GPUs have to rest before the next micro-batch."""
        if self._controller is None:
            return 0.0
        with self._lock:
            return self._controller.rest_needed(self._clock())

    @property
    def leaving(self) -> Leaving | None:
        """Whether, and why, resting is not enough."""
        return None if self._controller is None else self._controller.leaving

    @property
    def is_coarse(self) -> bool:
        """Whether shorter micro-batches would lose less time."""
        if self._controller is None:
            return False
        with self._lock:
            return self._controller.is_coarse

    def takes_smaller(self, share: float) -> None:
        """The next micro-batch has so much of the last one's rows."""
        if self._controller is not None:
            with self._lock:
                self._controller.takes_smaller(share)

    @property
    def blind(self) -> dict[str, str]:
        """GPUs whose limits cannot be watched, by UUID, and why."""
        return {} if self._controller is None else self._controller.blind

    def _look_unless_just_done(self) -> None:
        if self._clock() - self._looked > _FRESH_SECONDS:
            self.look()

    def usage(self) -> Usage:
        """Up to now."""
        with self._lock:
            self._look_unless_just_done()
            return Usage(
                joules=dict(self._meter.joules),
                energy_note=self._meter.note,
                product=self._gpus[0].product if self._gpus else None,
                rested_seconds=self.rested_seconds,
                rested_joules=self.rested_joules,
                is_paused=self.is_paused,
                highest_celsius=self._highest_celsius,
                highest_mean_watts=self._highest_mean_watts,
            )

    def vitals(self) -> Vitals:
        with self._lock:
            readings = self._readings.values()
            utilizations = [reading.utilization for reading in readings if reading.utilization is not None]
            return Vitals(
                guard=self._state(),
                throttled_seconds=self.rested_before + self.rested_seconds if self.is_guarding else None,
                watts=_sum([reading.watts for reading in readings]),
                celsius=_largest(reading.celsius for reading in readings),
                utilization=sum(utilizations) / len(utilizations) if utilizations else None,
                memory_bytes=_largest(reading.memory_bytes for reading in readings),
                joules=None if self._meter.note or not self._meter.joules else self.joules,
            )

    def _state(self) -> GuardState | None:
        return None if self._controller is None else self._controller.state(self._clock())

    @contextmanager
    def running(self, write: Callable[[], None]) -> Iterator[None]:
        """Within, a thread looks once a second, and calls `write` every 10 s to put on the volume what was drawn."""
        is_over = threading.Event()
        thread = threading.Thread(target=self._run, args=(is_over, write), name="gpu-watch", daemon=True)
        if self._gpus:
            thread.start()
        try:
            yield
        finally:
            is_over.set()
            if self._gpus:
                thread.join()
                self.look()

    def _run(self, is_over: threading.Event, write: Callable[[], None]) -> None:
        written = self._clock()
        while not is_over.wait(LOOK_SECONDS):
            self.look()
            if self._clock() - written >= WRITE_SECONDS:
                written = self._clock()
                try:
                    write()
                except OSError:
                    # A volume that is full or away is told by the thread that trains, when it saves.
                    continue


def _largest(values: Iterable[_Number | None]) -> _Number | None:
    return max((value for value in values if value is not None), default=None)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
