"""Time that only counts, on scripted GPUs: hours in seconds, and the same on a busy machine as on an idle one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scripted_nvml import ScriptedNvml

LOOK_SECONDS = 1.0
FINEST_SECONDS = 0.25
WINDOW_SECONDS = 30.0


@dataclass
class Seen:
    """What really happened to one GPU, as the model knows it."""

    highest: float = 0.0
    longest_excess: float = 0.0
    """Longest time without a break above the limit on temperature."""
    highest_mean_watts: float = 0.0
    """Over 30 seconds."""
    joules: float = 0.0
    _above_since: float | None = None
    _history: deque[tuple[float, float]] = field(default_factory=deque)

    def note(self, now: float, celsius: float, joules: float, limit: float) -> None:
        self.highest = max(self.highest, celsius)
        self.joules = joules
        if celsius <= limit:
            self._above_since = None
        elif self._above_since is None:
            self._above_since = now
        else:
            self.longest_excess = max(self.longest_excess, now - self._above_since)
        self._note_power(now, joules)

    def _note_power(self, now: float, joules: float) -> None:
        history = self._history
        history.append((now, joules))
        while len(history) > 2 and history[1][0] <= now - WINDOW_SECONDS:
            history.popleft()
        (before, joules_before), (after, joules_after) = history[0], history[1] if len(history) > 1 else history[0]
        if now - before >= WINDOW_SECONDS and after > before:
            share = (now - WINDOW_SECONDS - before) / (after - before)
            begin = joules_before + share * (joules_after - joules_before)
            self.highest_mean_watts = max(self.highest_mean_watts, (joules - begin) / WINDOW_SECONDS)


class ScriptedTime:
    """Passes when GPUs work and when somebody rests, and at no other moment."""

    def __init__(self, nvml: ScriptedNvml, script: Sequence[str], limit_celsius: float) -> None:
        nvml.start("clock virtual", *script)
        self.now = 0.0
        self.worked = 0.0
        self.gpus = sum(line.startswith("gpu") for line in script)
        self.seen = [Seen() for _ in range(self.gpus)]
        self.each_second: Callable[[], object] = lambda: None
        """Who looks at the GPUs once a second."""
        self._nvml = nvml
        self._limit = limit_celsius
        self._looked = 0.0
        self._events: list[tuple[float, Callable[[], object]]] = []

    def clock(self) -> float:
        return self.now

    def at(self, moment: float, happens: Callable[[], object]) -> None:
        """Has something happen once, when so much time has passed."""
        self._events.append((moment, happens))

    def work(self, seconds: float) -> None:
        """All GPUs work."""
        self._load(1.0)
        self.rest(seconds)
        self._load(0.0)
        self.worked += seconds

    def rest(self, seconds: float) -> None:
        """Time passes."""
        while seconds > 1e-9:
            part = min(seconds, FINEST_SECONDS)
            self._nvml.advance(part)
            self.now += part
            seconds -= part
            for index, seen in enumerate(self.seen):
                seen.note(self.now, self._nvml.celsius(index), self._nvml.joules(index), self._limit)
            self._let_happen()
            if self.now - self._looked >= LOOK_SECONDS:
                self._looked = self.now
                self.each_second()

    def _let_happen(self) -> None:
        due = [event for event in self._events if event[0] <= self.now]
        self._events = [event for event in self._events if event[0] > self.now]
        for _, happens in due:
            happens()

    def _load(self, share: float) -> None:
        for index in range(self.gpus):
            self._nvml.load(index, share)
