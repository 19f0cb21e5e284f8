"""What a pod says while it works: one JSON object a line on stdout."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from finetune_api.fields import WireModel


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


class ProblemEvent(WireModel):
    """Something a user should read, such as one bad line of a dataset."""

    event: Literal["problem"] = "problem"
    time: str
    message: str


Event = Annotated[StageEvent | ProgressEvent | ProblemEvent, Field(discriminator="event")]
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(line: str) -> Event:
    """Raises pydantic.ValidationError where the line is not an event."""
    return _ADAPTER.validate_json(line)
