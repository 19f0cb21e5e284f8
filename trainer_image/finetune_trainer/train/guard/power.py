"""The limit on power: a mean over 30 seconds, which is a limit on the energy of every stretch of that length."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque

from finetune_trainer.train.guard.rates import Rate

WINDOW_SECONDS = 30.0
_MARGIN = 0.015
"""Share of the limit that is left for micro-batches that take longer than those before."""
_CREDIT_SECONDS = 1.0
_FORGET_SECONDS = 600.0
_TOLERANCE_SECONDS = 0.01
LEAST_FILLED = 0.93
"""Share of the work that a limit allows, which whole micro-batches should at least be able to do. The margin and the
rests themselves cost up to 3% of it, so that nine tenths of what the bare limit allows are left."""


def filled_by_whole(duty: float, batch_seconds: float) -> float:
    """Share of the work that a limit allows, when micro-batches are never cut: of a window, so many whole ones fit, and
    of one more the part that is left; they repeat after the window less that part. `duty`: share of the time that the
    mean alone allows."""
    allowed = duty * WINDOW_SECONDS
    whole = math.floor(allowed / batch_seconds + 1e-9)
    part = allowed - whole * batch_seconds
    return whole * batch_seconds / (WINDOW_SECONDS - part) / duty


class EnergyHistory:
    """Joules since the first look, over the last window."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self._joules: deque[float] = deque()

    def append(self, time: float, joules: float) -> None:
        self._times.append(time)
        self._joules.append(joules)
        while len(self._times) > 2 and self._times[1] <= time - WINDOW_SECONDS:
            self._times.popleft()
            self._joules.popleft()

    def at(self, time: float) -> float:
        """Joules at a moment between the looks; before the first one, as if power had been what it then was."""
        index = min(max(bisect_left(self._times, time), 1), len(self._times) - 1)
        if index < 1:
            return self._joules[0]
        before, after = self._times[index - 1], self._times[index]
        share = max(0.0, (time - before) / (after - before))
        return self._joules[index - 1] + share * (self._joules[index] - self._joules[index - 1])

    @property
    def seconds(self) -> float:
        return self._times[-1] - self._times[0] if self._times else 0.0

    @property
    def mean_watts(self) -> float | None:
        """Mean over the last 30 s; None before so much was seen."""
        if self.seconds < WINDOW_SECONDS:
            return None
        return (self._joules[-1] - self.at(self._times[-1] - WINDOW_SECONDS)) / WINDOW_SECONDS


class PowerLimit:
    """How long one GPU has to rest for its power.

    A micro-batch draws more than the limit allows for its time; the difference is a debt, which the rest after it pays
    back. So every micro-batch has its own short rest. Beyond that, a micro-batch only begins when the 30 s that end
    with it will stay within the limit, by what micro-batches and rests drew lately.
    """

    def __init__(self, limit_watts: float) -> None:
        self._allowed = limit_watts * (1 - _MARGIN)
        self._history = EnergyHistory()
        self._last: tuple[float, float] | None = None
        self._debt = 0.0
        self._short = 0.0
        """Joules that a window was predicted too low by, lately: sensors lag, and micro-batches differ."""
        self._busy = Rate(guess=limit_watts)
        self._idle = Rate(guess=0.0)

    @property
    def mean_watts(self) -> float | None:
        return self._history.mean_watts

    @property
    def idle_watts(self) -> float:
        return self._idle.value

    def observe(self, time: float, joules: float, *, is_busy: bool) -> None:
        """`joules` were drawn until `time`; since the last look the GPU was busy, or not."""
        if self._last is not None and time > self._last[0]:
            seconds, drawn = time - self._last[0], joules - self._last[1]
            (self._busy if is_busy else self._idle).add(drawn, seconds)
            self._debt = max(self._debt + drawn - self._allowed * seconds, -self._most_credit)
        elif self._last is not None:
            return
        self._history.append(time, joules)
        self._learn_from_window(0.0 if self._last is None else time - self._last[0])
        self._last = (time, joules)

    def _learn_from_window(self, seconds: float) -> None:
        mean = self._history.mean_watts
        excess = 0.0 if mean is None else (mean - self._allowed) * WINDOW_SECONDS
        self._short = max(self._short * math.exp(-seconds / _FORGET_SECONDS), excess)

    @property
    def _most_credit(self) -> float:
        """A little may be saved up, so that a rest that was a moment too long is made good by the next ones."""
        return self._allowed * _CREDIT_SECONDS

    def rest_needed(self, batch_seconds: float) -> float:
        """Seconds until the next micro-batch may begin, as far as can be said now."""
        if self._last is None:
            return 0.0
        spare = self._allowed - self._idle.value
        if spare <= 0:
            # Even at rest it draws too much, or rests were too short to tell.
            return WINDOW_SECONDS
        return max(self._debt / spare, self._until_window_fits(batch_seconds), 0.0)

    def is_coarse(self, batch_seconds: float) -> bool:
        """Whether so long micro-batches leave much of what the limit allows undone, and half as long ones less."""
        idle = self._idle.value
        spare, drawn = self._allowed - self._short / WINDOW_SECONDS - idle, self._busy.value - idle
        if self.mean_watts is None or not 0 < spare < drawn:
            return False
        filled, filled_by_halves = (
            filled_by_whole(spare / drawn, seconds) for seconds in (batch_seconds, batch_seconds / 2)
        )
        return filled < LEAST_FILLED and filled < filled_by_halves

    def _until_window_fits(self, batch_seconds: float) -> float:
        low, high = 0.0, WINDOW_SECONDS
        if self._fits(low, batch_seconds):
            return low
        while high - low > _TOLERANCE_SECONDS:
            middle = (low + high) / 2
            low, high = (low, middle) if self._fits(middle, batch_seconds) else (middle, high)
        return high

    def _fits(self, rest: float, batch_seconds: float) -> bool:
        """Whether the window that ends with a micro-batch after so long a rest stays within the limit."""
        assert self._last is not None
        now, joules = self._last
        begin = now + rest + batch_seconds - WINDOW_SECONDS
        before = self._history.at(begin) if begin <= now else joules + self._idle.value * (begin - now)
        end = joules + self._idle.value * rest + self._busy.value * batch_seconds
        return end - before + self._short <= self._allowed * WINDOW_SECONDS
