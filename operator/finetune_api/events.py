"""What a pod says while it works: one JSON object a line on stdout."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from finetune_api.fields import WireModel
from finetune_api.guard import GuardState


class StageEvent(WireModel):
    """The pod began something else."""

    event: Literal["stage"] = "stage"
    time: str
    stage: str


class ProgressEvent(WireModel):
    """How far the step is."""

    event: Literal["progress"] = "progress"
    time: str
    step: int
    steps: int
    eta_seconds: float | None = None
    loss: str | None = None
    tokens_per_second: str | None = None
    stage: str | None = None
    checkpoint_age_seconds: float | None = None
    """Work since the last checkpoint: what would be lost if the pod were killed now."""
    guard: GuardState | None = None
    """What the guard is doing about a limit that was passed."""
    throttled_seconds: float | None = None
    """Time that the guard has taken so far, over all attempts."""
    gpu_watts: float | None = None
    """Power of all GPUs together."""
    gpu_celsius: float | None = None
    """Temperature of the hottest GPU."""
    gpu_utilization: float | None = None
    """Mean utilization of the GPUs, 0 to 1."""
    gpu_memory_bytes: int | None = None
    """Memory in use on the fullest GPU."""
    gpu_joules: float | None = None
    """Energy of all GPUs in this attempt."""


class ProblemEvent(WireModel):
    """Something a user should read, such as one bad line of a dataset."""

    event: Literal["problem"] = "problem"
    time: str
    message: str


class NoteEvent(WireModel):
    """Something a user should know, though nothing is wrong."""

    event: Literal["note"] = "note"
    time: str
    message: str


class ReportEvent(WireModel):
    """A part of the report, for whoever cannot reach the volume."""

    event: Literal["report"] = "report"
    time: str
    part: Annotated[int, Field(ge=1)]
    """Number of this part, from 1."""
    parts: Annotated[int, Field(ge=1, le=1024)]
    digest: str
    """sha256 of the whole gzipped report."""
    data: str
    """Base64 of the part."""


Event = Annotated[StageEvent | ProgressEvent | ProblemEvent | NoteEvent | ReportEvent, Field(discriminator="event")]
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(line: str) -> Event:
    """Raises pydantic.ValidationError where the line is not an event."""
    return _ADAPTER.validate_json(line)
