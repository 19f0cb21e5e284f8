"""SIGTERM and Ctrl-C: most steps end at once; a training ends after its next micro-batch, with a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from finetune_trainer.failures import StoppedError

_FINISHED_IS_KEPT = "what was finished is kept"


class StopRequest:
    """Whether the process was told to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False
        self._what_is_kept = _FINISHED_IS_KEPT

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

    @contextmanager
    def at_once(self, what_is_kept: str) -> Iterator[None]:
        """Within, a request ends even deferred work at once: loading a model takes minutes and leaves nothing to
        save. A library may swallow the exception; so the request is looked at once more at the end."""
        self.raise_if_requested(what_is_kept)
        deferred, self._deferred, self._what_is_kept = self._deferred, False, what_is_kept
        try:
            yield
        finally:
            self._deferred, self._what_is_kept = deferred, _FINISHED_IS_KEPT
        self.raise_if_requested(what_is_kept)

    def raise_if_requested(self, what_is_kept: str = _FINISHED_IS_KEPT) -> None:
        if self.requested:
            raise StoppedError(f"stopped as told; {what_is_kept}")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if number == signal.SIGINT:
            # A second Ctrl-C does not wait for anything.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if not self._deferred:
            self.raise_if_requested(self._what_is_kept)


STOP = StopRequest()
"""The process's own: signals are the process's, so this is the one object that all of it shares."""
