"""Failures by whose fault they are. Each knows its exit code; `__main__` turns it into the step's result."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.results import ERRORS_IN_STATUS, Failure


class TrainerFailure(Exception):  # noqa: N818  (it becomes the `Failure` that is reported)
    """A step that did not end well, with a message that says what to do."""

    exit_code: ExitCode = ExitCode.DEFECT

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        errors: Sequence[str] = (),
        error_count: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.errors = tuple(errors)
        self.error_count = len(self.errors) if error_count is None else error_count

    def to_failure(self) -> Failure:
        return Failure(
            reason=self.reason,
            message=self.message,
            errors=self.errors[:ERRORS_IN_STATUS],
            error_count=self.error_count,
        )


class MemberFailure(TrainerFailure):
    """What one of several processes ended with, told by the one that started them."""

    def __init__(self, exit_code: ExitCode, failure: Failure) -> None:
        super().__init__(failure.reason, failure.message, errors=failure.errors, error_count=failure.error_count)
        self.exit_code = exit_code
        self._failure = failure

    def to_failure(self) -> Failure:
        return self._failure


class UserError(TrainerFailure):
    """The dataset, the model, the suite or the spec is wrong: trying again changes nothing."""

    exit_code = ExitCode.USER


class InfrastructureError(TrainerFailure):
    """A volume or a device let the step down: trying again may help."""

    exit_code = ExitCode.INFRASTRUCTURE


class StoppedError(TrainerFailure):
    """The step was told to stop; what it had is kept."""

    exit_code = ExitCode.STOPPED

    def __init__(self, message: str) -> None:
        super().__init__(Reason.PREEMPTED, message)


class MemoryExhausted(TrainerFailure):
    """The device's memory did not suffice; smaller micro-batches may fit."""

    exit_code = ExitCode.GPU_OUT_OF_MEMORY

    def __init__(self, message: str) -> None:
        super().__init__(Reason.OUT_OF_MEMORY, message)


class NonFiniteLoss(TrainerFailure):
    """The loss, a gradient or a weight is no finite number."""

    exit_code = ExitCode.NON_FINITE_LOSS

    def __init__(self, message: str) -> None:
        super().__init__(Reason.NON_FINITE_LOSS, message)


class Overheated(TrainerFailure):
    """A GPU is too hot, or over its power, for too long: the guard saved a checkpoint and gave it up for a while."""

    exit_code = ExitCode.OVERHEATED

    def __init__(self, message: str) -> None:
        super().__init__(Reason.OVERHEATED, message)


class DeadlineExceeded(TrainerFailure):
    """The training has run for as long as it may; a checkpoint is kept."""

    exit_code = ExitCode.DEADLINE_EXCEEDED

    def __init__(self, message: str, deadline_seconds: int) -> None:
        super().__init__(Reason.DEADLINE_EXCEEDED, message)
        self._deadline_seconds = deadline_seconds

    def to_failure(self) -> Failure:
        return super().to_failure().model_copy(update={"deadline_seconds": self._deadline_seconds})
