"""Sends points from a thread of its own: the training waits for no server, and fails with none."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event, Thread

from finetune_trainer.train.tracking.points import Point, TrackedRun

_INTERVAL_SECONDS = 10.0
_FAREWELL_SECONDS = 10.0
"""Well within the time that a pod has to end."""
_MOST_UNSENT = 100_000
"""Points that are kept for a server that may come back; a step has one."""
_ALL_THERE = "TensorBoard's files on the artifacts volume have all of them"


class BackgroundRun:
    """A run that is opened and fed aside. What cannot be sent is tried again, until the end."""

    def __init__(
        self,
        service: str,
        open_run: Callable[[], TrackedRun],
        *,
        interval: float = _INTERVAL_SECONDS,
        farewell: float = _FAREWELL_SECONDS,
    ) -> None:
        self._service = service
        self._open = open_run
        self._interval = interval
        self._farewell = farewell
        self._unsent: deque[Point] = deque(maxlen=_MOST_UNSENT)
        self._run: TrackedRun | None = None
        self._problem: str | None = None
        self._reason = ""
        self._closing = Event()
        self._thread = Thread(target=self._work, name=service, daemon=True)
        self._thread.start()

    def add(self, point: Point) -> None:
        self._unsent.append(point)

    def new_problem(self) -> str | None:
        """What went wrong, once."""
        problem, self._problem = self._problem, None
        return problem

    def close(self) -> None:
        """Sends the rest, within reason."""
        self._closing.set()
        self._thread.join(self._farewell)
        if self._unsent:
            reason = self._reason or "it does not answer"
            self._problem = f"{self._service}: {len(self._unsent)} points could not be sent: {reason}. {_ALL_THERE}"

    def _work(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._closing.wait(self._interval)
            try:
                self._send()
                if is_last and self._run is not None:
                    self._run.finish()
            except Exception as error:  # a tracking service must never end a training
                self._complain(error)

    def _send(self) -> None:
        if self._run is None:
            self._run = self._open()
        points = list(self._unsent)
        if points:
            self._run.send(points)
            for _ in points:
                self._unsent.popleft()

    def _complain(self, error: Exception) -> None:
        is_first = not self._reason
        lines = str(error).strip().splitlines()
        self._reason = lines[0][:300] if lines else type(error).__name__
        if is_first:
            self._problem = f"{self._service}: points cannot be sent, and are kept: {self._reason}. {_ALL_THERE}"
