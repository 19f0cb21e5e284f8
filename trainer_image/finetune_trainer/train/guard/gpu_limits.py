"""Both limits of one GPU."""

from __future__ import annotations

from finetune_api.guard import Guard
from finetune_trainer.train.energy import counted
from finetune_trainer.train.guard.gpus import Reading
from finetune_trainer.train.guard.power import EnergyHistory, PowerLimit
from finetune_trainer.train.guard.temperature import TemperatureLimit


class GpuLimits:
    """What one GPU's readings say about its limits, and the highest values that were seen."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._power = None if guard.max_power_watts is None else PowerLimit(guard.max_power_watts)
        celsius = guard.max_temperature_celsius
        self._temperature = None if celsius is None else TemperatureLimit(celsius)
        self.blind: str | None = None
        """Why a limit cannot be watched, when it cannot."""

    def observe(self, reading: Reading, joules: float | None, *, is_busy: bool) -> None:
        """`joules`: what the GPU drew since the first look, from its counter or else from its power."""
        self.blind = self._why_blind(reading, joules)
        if self._power is not None and joules is not None and reading.error is None:
            self._power.observe(reading.time, joules, is_busy=is_busy)
        if self._temperature is not None and reading.celsius is not None:
            self._temperature.observe(reading.time, reading.celsius, is_busy=is_busy)

    def _why_blind(self, reading: Reading, joules: float | None) -> str | None:
        if reading.error is not None:
            return reading.error
        if self._power is not None and joules is None:
            return "it tells neither its power nor its energy"
        if self._temperature is not None and reading.celsius is None:
            return "it does not tell its temperature"
        return None

    def is_coarse(self, batch_seconds: float) -> bool:
        """Whether shorter micro-batches would use more of what the limit on power allows."""
        return self.blind is None and self._power is not None and self._power.is_coarse(batch_seconds)

    def rest_needed(self, batch_seconds: float) -> float:
        """Seconds until the next micro-batch may begin; 0 while the GPU does not answer, since nothing is known."""
        if self.blind is not None:
            return 0.0
        limits = (self._power, self._temperature)
        return max((limit.rest_needed(batch_seconds) for limit in limits if limit is not None), default=0.0)

    @property
    def passed(self) -> str | None:
        """The limit that is passed, in words."""
        if self._temperature is not None and self._temperature.is_passed:
            return f"{self._temperature.reading:.0f} °C, limit {self._guard.max_temperature_celsius} °C"
        mean = None if self._power is None else self._power.mean_watts
        if mean is not None and self._guard.max_power_watts is not None and mean > self._guard.max_power_watts:
            return f"{mean:.0f} W over 30 s, limit {self._guard.max_power_watts} W"
        return None


class DrawnEnergy:
    """Joules that one GPU drew since the first look, and the mean power over 30 s."""

    def __init__(self) -> None:
        self.history = EnergyHistory()
        self.joules: float | None = None
        self._last: Reading | None = None

    def add(self, reading: Reading) -> float | None:
        """The sum so far; None while the GPU tells neither energy nor power."""
        last, self._last = self._last, reading if reading.error is None else self._last
        step = 0.0 if last is None else _drawn_between(last, reading)
        if step is not None and (reading.joules, reading.watts) != (None, None):
            self.joules = (self.joules or 0.0) + step
            self.history.append(reading.time, self.joules)
        return self.joules


def _drawn_between(earlier: Reading, later: Reading) -> float | None:
    if earlier.joules is not None and later.joules is not None:
        return counted(earlier.joules, later.joules)
    if earlier.watts is not None and later.watts is not None:
        return (earlier.watts + later.watts) / 2 * (later.time - earlier.time)
    return None
