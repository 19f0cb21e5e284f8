"""Decides from the losses alone whether a training still learns, or has to go back to where it did."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from statistics import median

WINDOW = 50
"""Losses that a new one is compared with."""
LEAST_HISTORY = 20
"""Fewer losses do not tell how far they usually scatter."""
FIRST_LOSSES = 5
"""Of so few, only one that is more than twice the highest of them is out of line: the loss falls fastest now."""
SCATTER = 6.0
"""So many median absolute deviations above the median is out of line: four standard deviations of normal noise."""
LEAST_RISE = 0.1
"""Rises below this are noise, however little the losses scattered before (nats)."""
BAD_IN_A_ROW = 3
MOST_ROLLBACKS = 2


@dataclass(frozen=True)
class StepLoss:
    """What one step came to."""

    step: int
    loss: float | None
    """None where the step was left out, since the loss or a gradient was not finite."""


class Verdict(Enum):
    CONTINUE = auto()
    SKIP = auto()
    """The step was left out; the training goes on."""
    ROLL_BACK = auto()
    """To a checkpoint of before `suspect_since`, at half the learning rate."""
    FAIL = auto()
    """It was tried often enough."""


@dataclass
class LossWatch:
    """Looks at one loss after the other. Three bad ones in a row, not finite or far above the usual, are a divergence;
    one or two are a bad batch, unless over half of all steps are left out."""

    rollbacks: int = 0
    """How often this training went back already."""
    since: int = 0
    """The step that it went back to last: what was left out before does not count any more."""
    _usual: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _bad: list[StepLoss] = field(default_factory=list)
    _left_out: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))

    @classmethod
    def after(cls, history: Iterable[StepLoss], rollbacks: int, since: int = 0) -> LossWatch:
        """As it was when so much had been learnt."""
        watch = cls(rollbacks, since)
        for entry in history:
            watch.feed(entry)
        return watch

    @property
    def suspect_since(self) -> int | None:
        """First step of the bad ones that are going on: checkpoints from there on are not known to be good."""
        return self._bad[0].step if self._bad else None

    def feed(self, entry: StepLoss) -> Verdict:
        is_left_out = entry.loss is None or not math.isfinite(entry.loss)
        if entry.step > self.since:
            self._left_out.append(is_left_out)
        if entry.loss is not None and not is_left_out and not self._is_out_of_line(entry.loss):
            self._usual.append(entry.loss)
            self._bad.clear()
            return Verdict.CONTINUE
        self._bad.append(entry)
        if len(self._bad) >= BAD_IN_A_ROW or self._mostly_leaves_out():
            return Verdict.ROLL_BACK if self.rollbacks < MOST_ROLLBACKS else Verdict.FAIL
        return Verdict.SKIP if is_left_out else Verdict.CONTINUE

    def describe(self) -> str:
        """For people: what was bad."""
        if len(self._bad) < BAD_IN_A_ROW:
            return f"loss or gradient was not finite in {sum(self._left_out)} of the last {len(self._left_out)} steps"
        if all(entry.loss is None for entry in self._bad):
            return f"loss or gradient was not finite in {len(self._bad)} steps in a row, from step {self.suspect_since}"
        losses = ", ".join("not finite" if entry.loss is None else f"{entry.loss:.3f}" for entry in self._bad)
        usual = f"{median(self._usual):.3f}" if self._usual else "unknown"
        return f"the loss has left its usual range (median {usual}) since step {self.suspect_since}: {losses}"

    def _mostly_leaves_out(self) -> bool:
        return len(self._left_out) >= LEAST_HISTORY and 2 * sum(self._left_out) > len(self._left_out)

    def _is_out_of_line(self, loss: float) -> bool:
        if len(self._usual) < FIRST_LOSSES:
            return False
        if len(self._usual) < LEAST_HISTORY:
            highest = max(self._usual)
            return loss > highest + max(highest, LEAST_RISE)
        middle = median(self._usual)
        scatter = median(abs(value - middle) for value in self._usual)
        return loss > middle + max(SCATTER * scatter, LEAST_RISE)
