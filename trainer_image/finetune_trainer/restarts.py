"""How often a step was begun without getting any further: what is stopped again and again must not go on for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from finetune_api.conditions import Reason
from finetune_trainer.artifacts import write_durably
from finetune_trainer.failures import InfrastructureError, Overheated, StoppedError

RESTARTS_FILE = "restarts.json"
MOST_IN_VAIN = 3


class _Begun(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    progress: int
    """What was kept when it was begun last."""
    times: int
    """How often it was begun with no more than that."""


@contextmanager
def counted_restarts(path: Path, progress: int, unit: str) -> Iterator[None]:
    """Within, the step goes on from `progress`. Once it was stopped or killed three times and kept nothing new, it
    fails instead, which is counted, and is followed by a pause; then counting begins anew."""
    before = _read(path)
    times = before.times if before is not None and progress <= before.progress else 0
    if times >= MOST_IN_VAIN:
        path.unlink(missing_ok=True)
        raise InfrastructureError(
            Reason.NO_PROGRESS,
            f"it was stopped or killed {times} times in a row, each time before it could keep more than {unit} "
            f"{progress}: see why its pods are ended so soon (preemption, eviction, node), and give it a higher "
            "priorityClassName, or more time",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, _Begun(progress=progress, times=times + 1).model_dump_json() + "\n")
    try:
        yield
    except (StoppedError, Overheated):
        raise
    except Exception:
        # A failure is counted by itself.
        path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def _read(path: Path) -> _Begun | None:
    try:
        return _Begun.model_validate_json(path.read_text())
    except (OSError, ValidationError):
        return None
