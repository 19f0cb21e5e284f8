"""Runs long steps side by side: the first failure ends the wait, and Ctrl-C ends them all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures

from localcluster import progress


def run_together(*steps: Callable[[], object]) -> None:
    """Returns when all are done; when one fails, ends the others' commands and raises its error."""
    with futures.ThreadPoolExecutor(max_workers=len(steps)) as pool:
        running = [pool.submit(step) for step in steps]
        try:
            for finished in futures.as_completed(running):
                finished.result()
        except BaseException:
            progress.end_running_commands()
            raise
