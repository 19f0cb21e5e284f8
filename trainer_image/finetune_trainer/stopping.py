"""SIGTERM and Ctrl-C: most steps end at once; a training ends at its next step boundary, with a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from finetune_trainer.failures import StoppedError


class StopRequest:
    """Whether the process was told to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False

    def listen(self) -> None:
        """From here on a signal is a request. Needed by every step: a container's first process ignores SIGTERM."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, a request is only noted: whoever asks `requested` ends the work where it can be taken up again."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def raise_if_requested(self, what_is_kept: str = "what was finished is kept") -> None:
        if self.requested:
            raise StoppedError(f"stopped as told; {what_is_kept}")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if number == signal.SIGINT:
            # A second Ctrl-C does not wait for anything.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if not self._deferred:
            self.raise_if_requested()


STOP = StopRequest()
"""The process's own: signals are the process's, so this is the one object that all of it shares."""
