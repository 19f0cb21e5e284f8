"""The limit on temperature, which follows the work slowly and is only told in whole degrees."""

from __future__ import annotations

import math
from dataclasses import dataclass

GRACE_SECONDS = 5.0
"""So long, or as long as one micro-batch, the limit may be passed."""
_PLANNED_SECONDS = 4.0
"""So much of that is used, where heating and cooling are known well enough."""
_RESOLUTION = 1.0
_READING_VARIANCE = _RESOLUTION**2 / 12
_DRIFT_VARIANCE = 1e-5
"""(K/s)² a second: fans, the room and the heat sink change how fast a GPU heats and cools."""
_WANDERING_VARIANCE = 1e-4
"""K² a second: what the two rates do not explain."""
_LEAST_RATE = 0.01
_LEAST_REST_SECONDS = 0.1


@dataclass
class ThermalState:
    """Temperature, heating under work and cooling at rest, estimated together by a Kalman filter.

    Near a limit both rates are nearly constant: dT/dt = heating while the GPU works, -cooling while it rests. A reading
    is a whole degree with what is behind the point cut off, so the temperature is, in the mean, half a degree more.
    """

    celsius: float
    heating: float = 0.5
    cooling: float = 0.5
    # Upper triangle of the covariance of (celsius, heating, cooling).
    tt: float = _READING_VARIANCE
    th: float = 0.0
    tc: float = 0.0
    hh: float = 4.0
    hc: float = 0.0
    cc: float = 4.0

    def predict(self, seconds: float, *, is_busy: bool) -> None:
        if is_busy:
            self.celsius += self.heating * seconds
            self.tt += seconds * (2 * self.th + seconds * self.hh)
            self.th += seconds * self.hh
            self.tc += seconds * self.hc
            self.hh += _DRIFT_VARIANCE * seconds
        else:
            self.celsius -= self.cooling * seconds
            self.tt += seconds * (seconds * self.cc - 2 * self.tc)
            self.th -= seconds * self.hc
            self.tc -= seconds * self.cc
            self.cc += _DRIFT_VARIANCE * seconds
        self.tt += _WANDERING_VARIANCE * seconds

    def correct(self, reading: float, seconds: float) -> None:
        """Looks that follow each other closely tell the same thing again, and weigh less."""
        surprise = reading + _RESOLUTION / 2 - self.celsius
        total = self.tt + _READING_VARIANCE / min(seconds, 1.0)
        t, h, c = self.tt / total, self.th / total, self.tc / total
        self.celsius += t * surprise
        self.heating = max(self.heating + h * surprise, _LEAST_RATE)
        self.cooling = max(self.cooling + c * surprise, _LEAST_RATE)
        self.hh -= h * self.th
        self.hc -= h * self.tc
        self.cc -= c * self.tc
        self.th -= h * self.tt
        self.tc -= c * self.tt
        self.tt -= t * self.tt

    @property
    def knows_cooling(self) -> bool:
        return math.sqrt(self.cc) < 0.3 * self.cooling


class TemperatureLimit:
    """How long one GPU has to rest for its temperature: until the next micro-batch is expected to end within it."""

    def __init__(self, limit_celsius: float) -> None:
        self._limit = limit_celsius
        self._state: ThermalState | None = None
        self._time = 0.0
        self.reading = 0.0

    def observe(self, time: float, celsius: float, *, is_busy: bool) -> None:
        """`celsius` was read at `time`; since the last look the GPU was busy, or not."""
        if self._state is None:
            self._state = ThermalState(celsius)
        elif time > self._time:
            self._state.predict(time - self._time, is_busy=is_busy)
            self._state.correct(celsius, time - self._time)
        self._time = time
        self.reading = celsius

    @property
    def is_passed(self) -> bool:
        """What is behind the point is cut off, so the limit itself may already be past it."""
        return self._state is not None and self.reading >= self._limit

    def rest_needed(self, batch_seconds: float) -> float:
        """Seconds until the next micro-batch may begin."""
        state = self._state
        if state is None:
            return 0.0
        rise = state.heating * batch_seconds
        # Many whole degrees a micro-batch tell the temperature better than one that hardly changes.
        blur = _RESOLUTION / 2 / max(1.0, rise / _RESOLUTION)
        ceiling = self._limit - blur + max(0.0, self._overshoot(state) - blur)
        excess = state.celsius + rise - ceiling
        rest = max(0.0, excess / state.cooling)
        return max(rest, _LEAST_REST_SECONDS) if self.is_passed else rest

    def _overshoot(self, state: ThermalState) -> float:
        """Kelvin by which the end of a micro-batch may pass the limit: what is gone again after `_PLANNED_SECONDS`, the
        rise included."""
        if not state.knows_cooling:
            return 0.0
        return _PLANNED_SECONDS * state.heating * state.cooling / (state.heating + state.cooling)
