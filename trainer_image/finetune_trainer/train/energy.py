"""GPU energy, from the counters that the GPUs keep themselves (Volta and later). Nothing is ever estimated."""

from __future__ import annotations

from collections.abc import Mapping

from finetune_trainer.train.guard.gpus import Reading

NO_GPU = "not measured: no GPU"
SHARED = "not attributable: the GPU is shared with other work"
PARTITIONED = "not attributable: the counter is that of the whole GPU, and this is a MIG slice of it"
NO_COUNTER = "not measured: the GPU keeps no energy counter"


class EnergyMeter:
    """Joules of each GPU since it was first read."""

    def __init__(self, note: str | None = None) -> None:
        self._note = note
        self._last: dict[str, float] = {}
        self._errors: dict[str, str] = {}
        self.joules: dict[str, float] = {}

    def add(self, readings: Mapping[str, Reading]) -> None:
        """By UUID. What a GPU drew while it did not answer is in its counter when it does again."""
        for uuid, reading in readings.items():
            self._errors.pop(uuid, None)
            if reading.joules is None:
                self._errors[uuid] = NO_COUNTER if reading.error is None else f"not measured: {reading.error}"
                continue
            drawn = counted(self._last.get(uuid, reading.joules), reading.joules)
            self.joules[uuid] = self.joules.get(uuid, 0.0) + drawn
            self._last[uuid] = reading.joules

    @property
    def note(self) -> str | None:
        """Why the joules are not the energy of this process, when they are not."""
        return self._note or next(iter(self._errors.values()), None)


def counted(before: float, after: float) -> float:
    """What a counter counted in between. One that went back was started anew, at 0."""
    return after - before if after >= before else after
