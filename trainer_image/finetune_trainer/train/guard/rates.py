"""How much of something comes in a second, by what was seen lately."""

from __future__ import annotations

import math

_MEMORY_SECONDS = 60.0


class Rate:
    """Amount over time, in which the last minute counts most. It starts from a guess that weighs nothing."""

    def __init__(self, guess: float) -> None:
        self._guess = guess
        self._amount = 0.0
        self._seconds = 0.0

    def add(self, amount: float, seconds: float) -> None:
        kept = math.exp(-seconds / _MEMORY_SECONDS)
        self._amount = self._amount * kept + amount
        self._seconds = self._seconds * kept + seconds

    @property
    def value(self) -> float:
        return self._amount / self._seconds if self._seconds > 0 else self._guess
