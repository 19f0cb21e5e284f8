"""What goes wrong between the operator and the API server, by a seed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weather:
    """All is well by default."""

    event_delay_seconds: float = 0.05
    """The longest time that an event is under way: events overtake each other within it."""
    repeated: float = 0.0
    """Share of the events that come a second time, later."""
    lost: float = 0.0
    """Share of the events that never come."""
    lost_event: int | None = None
    """Number of the one event that never comes, 0 being the first."""
    failing: float = 0.0
    """Share of the requests that end in a 5xx or a timeout, half of them after they were carried out."""
    throttled: float = 0.0
    """Share of the requests that are refused with a 429, which says when to come again."""
    request_seconds: float = 0.01
    """The longest time that a request is under way, each way."""


CALM = Weather()
