"""An event loop in which waiting takes no time: its clock jumps to whatever happens next."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ..building import NOW

Answer = TypeVar("Answer")


class _Selector(selectors.DefaultSelector):
    """Never waits for a file: what would be waiting time is counted."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing will ever happen again: every task waits for another one")
        if not ready and timeout is not None:
            self.passed += max(0.0, timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.passed


def run(story: Coroutine[Any, Any, Answer]) -> Answer:
    """Runs a coroutine in virtual time, and ends what it left behind."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(story)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def now() -> datetime:
    """The simulated time of day."""
    return NOW + timedelta(seconds=asyncio.get_running_loop().time())


def timestamp() -> str:
    return now().strftime("%Y-%m-%dT%H:%M:%SZ")
