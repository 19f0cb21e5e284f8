"""A queue of keys: each stands in it once, is worked on by one worker at a time, and comes back later if it must."""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 60.0


class WorkQueue(Generic[Item]):
    """As client-go's: adding twice is working once; adding while it is being worked on is working once more."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[Item, float] = {}
        """Items that may be worked on, with the time since when, oldest first."""
        self._working: dict[Item, float] = {}
        """Items that a worker has, with the time since when."""
        self._again: set[Item] = set()
        self._timers: dict[Item, tuple[float, asyncio.TimerHandle]] = {}
        self._failures: dict[Item, int] = {}
        self._resting: set[Item] = set()
        """Items that stay away until their timer is due, whoever asks for them."""
        self._arrived = asyncio.Event()

    def add(self, item: Item) -> None:
        if item in self._resting:
            return
        if item in self._working:
            self._again.add(item)
        elif item not in self._waiting:
            self._waiting[item] = self._clock()
            self._arrived.set()

    def add_after(self, item: Item, seconds: float) -> None:
        """The earliest of several wishes counts."""
        due = self._clock() + seconds
        known = self._timers.get(item)
        if known is not None:
            if known[0] <= due:
                return
            known[1].cancel()
        self._timers[item] = (due, asyncio.get_running_loop().call_later(seconds, self._due, item))

    def _due(self, item: Item) -> None:
        self._timers.pop(item, None)
        self._resting.discard(item)
        self.add(item)

    async def get(self) -> Item:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        item = next(iter(self._waiting))
        del self._waiting[item]
        self._working[item] = self._clock()
        return item

    def done(self, item: Item) -> None:
        """The item was worked on without an error."""
        self._failures.pop(item, None)
        self._release(item)

    def failed(self, item: Item, not_before_seconds: float = 0.0) -> float:
        """The item comes back after a pause that doubles with each failure in a row; returns the pause in seconds.
        Whoever adds it meanwhile ends the pause, unless it was asked to stay away for so many seconds."""
        failures = self._failures[item] = self._failures.get(item, 0) + 1
        pause = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16), LONGEST_BACKOFF_SECONDS)
        self._again.discard(item)
        self._release(item)
        if not_before_seconds > 0:
            pause = max(pause, min(not_before_seconds, LONGEST_BACKOFF_SECONDS))
            self._rest(item)
        self.add_after(item, pause)
        return pause

    def _rest(self, item: Item) -> None:
        """An earlier timer would bring it back too soon."""
        self._resting.add(item)
        known = self._timers.pop(item, None)
        if known is not None:
            known[1].cancel()

    def _release(self, item: Item) -> None:
        self._working.pop(item, None)
        if item in self._again:
            self._again.discard(item)
            self.add(item)

    def oldest_age(self) -> float:
        """Seconds that the oldest item has been waiting for a worker, or has kept one busy."""
        now = self._clock()
        return now - min([*self._waiting.values(), *self._working.values()], default=now)

    def __len__(self) -> int:
        return len(self._waiting)
