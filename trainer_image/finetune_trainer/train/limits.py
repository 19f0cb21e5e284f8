"""How long a training may run."""

from __future__ import annotations

from collections.abc import Callable

from finetune_api.durations import duration
from finetune_trainer.failures import DeadlineExceeded
from finetune_trainer.train.team import Team


class Deadline:
    """spec.deadlineSeconds, over all attempts. Time counts while a training has its GPUs: loading, validating and the
    rests of the guard with it, but not what lies between two attempts.

    What was learnt and lost counts as well, by a kill or a rollback: so `spent` comes from the ledger that lies beside
    the checkpoints, and not from a checkpoint, which knows only what led to it.
    """

    def __init__(self, seconds: int | None, spent: Callable[[], float], team: Team) -> None:
        self._seconds = seconds
        self._spent = spent
        self._team = team
        self._has_passed = False

    def is_over(self) -> bool:
        """For all processes that train together, once it is for one of them: all of them ask at the same time."""
        if self._seconds is not None and not self._has_passed:
            self._has_passed = bool(self._team.largest(float(self._spent() >= self._seconds)))
        return self._has_passed

    def exceeded(self, step: int, steps: int, what_is_kept: str) -> DeadlineExceeded:
        assert self._seconds is not None, "only a deadline that was given passes"
        return DeadlineExceeded(
            f"the training has run for {duration(self._spent())} over all its attempts, as long as "
            f"spec.deadlineSeconds ({self._seconds}) allows, and reached step {step} of {steps}; {what_is_kept}: raise "
            "spec.deadlineSeconds, and it goes on from there",
            self._seconds,
        )
