"""Our train step as a pod carries it out, with the clock in it, and the time that callbacks and checkpoints take.

python3 ours.py ORDER FIGURES
"""

from __future__ import annotations

import time

BEGAN = time.time()
"""The interpreter is there; what follows is our own."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_trainer import __main__ as entry
from finetune_trainer.reporting import Reporter

if TYPE_CHECKING:
    from clock import Clock


class Stages(Reporter):
    """Also notes when each stage began, and puts the clock in once the libraries are there: loading them here would
    take from the start what is measured."""

    def __init__(self) -> None:
        super().__init__()
        self.began = {"the trainer's modules": BEGAN}
        self.watched = Watched()

    def stage(self, stage: str) -> None:
        self.began.setdefault(stage, time.time())
        if stage == "loading the base model":
            self.watched.put_in()
        super().stage(stage)


class Timed:
    """Counts a function's calls, and their seconds."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds = 0.0
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return self._function(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - began
            self.calls += 1


class Watched:
    """The clock, and the seconds of callbacks and checkpoints."""

    clock: Clock
    callbacks: Timed
    checkpoints: Timed

    def put_in(self) -> None:
        from clock import Clock
        from finetune_trainer.train.completion_trainer import CompletionTrainer

        self.clock = Clock()
        original = CompletionTrainer.train

        def train(trainer: CompletionTrainer, *args: Any, **kwargs: Any) -> Any:
            handler = trainer.callback_handler
            self.callbacks = handler.call_event = Timed(handler.call_event)
            self.checkpoints = trainer._save_checkpoint = Timed(trainer._save_checkpoint)
            trainer.add_callback(self.clock)
            return original(trainer, *args, **kwargs)

        CompletionTrainer.train = train


def main(order_path: str, figures: str) -> None:
    reporter = Stages()
    entry.Reporter = lambda: reporter
    exit_code = entry.main(["run", order_path])
    if exit_code:
        sys.exit(exit_code)
    watched = reporter.watched
    watched.clock.write(
        Path(figures),
        callbackSeconds=watched.callbacks.seconds,
        secondsPerCheckpoint=watched.checkpoints.seconds / watched.checkpoints.calls,
        **{f"stage {name}": at for name, at in reporter.began.items()},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
