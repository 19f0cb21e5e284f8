"""What is told of the queue: names in one namespace, and of all others only how many."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_api.durations import duration
from finetune_api.queue_order import Lane, Place, Work, places

_HEADER = ("PLACE", "NAME", "PRIORITY", "WAITS FOR", "WAITED", "IN FRONT", "STARTS IN")
UNKNOWN = "not known"


@dataclass(frozen=True)
class Report:
    """The queue as one namespace may see it."""

    namespace: str
    waiting: tuple[Place, ...]
    """Of the namespace, in the order of each lane."""
    in_front: tuple[tuple[str, ...], ...]
    """For each of them the names of those of the namespace that are in front."""
    elsewhere: int | None
    """How many wait in other namespaces; None where that could not be read."""
    notes: tuple[str, ...]
    now: datetime

    def to_json(self) -> str:
        told = {
            "namespace": self.namespace,
            "waiting": [self._entry(place, names) for place, names in zip(self.waiting, self.in_front, strict=True)],
            "waitingElsewhere": self.elsewhere,
            "notes": list(self.notes),
        }
        return json.dumps(told, indent=2)

    def _entry(self, place: Place, names: tuple[str, ...]) -> dict[str, Any]:
        work, start = place.work, place.starts_in_seconds
        return {
            "kind": work.kind.value,
            "name": work.name,
            "lane": work.lane.value,
            "position": place.position,
            "priority": work.priority,
            "reason": work.reason,
            "since": work.since,
            "inFront": list(names),
            "podsAhead": place.ahead,
            "podsAheadElsewhere": place.ahead_elsewhere if self.elsewhere is not None else None,
            "startsInSeconds": round(start) if start is not None else None,
        }

    def to_table(self) -> str:
        rows = [self._row(place, names) for place, names in zip(self.waiting, self.in_front, strict=True)]
        lines = _aligned([_HEADER, *rows]) if rows else [f"nothing of namespace {self.namespace} waits for GPUs"]
        if self.elsewhere is not None:
            lines.append(f"waiting in other namespaces: {self.elsewhere}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _row(self, place: Place, names: tuple[str, ...]) -> tuple[str, ...]:
        work, start = place.work, place.starts_in_seconds
        elsewhere = [f"{place.ahead_elsewhere} elsewhere"] if place.ahead_elsewhere else []
        waited = (self.now - datetime.fromisoformat(work.since)).total_seconds()
        return (
            f"{place.position}" + (f" ({work.lane.value})" if work.lane is Lane.KUEUE else ""),
            f"{work.kind.value}/{work.name}",
            str(work.priority),
            work.reason,
            duration(waited),
            ", ".join([*names, *elsewhere]) or "-",
            duration(start) if start is not None else UNKNOWN,
        )


def report_of(
    works: Iterable[Work],
    namespace: str,
    name: str | None,
    notes: Iterable[str],
    now: datetime,
    *,
    everywhere: bool,
) -> Report:
    """Of everything that waits in a namespace, or of those with this name alone."""
    standing = places(works)
    mine = [place for place in standing if place.work.namespace == namespace]
    told = [place for place in mine if name is None or place.work.name == name]
    elsewhere = len(standing) - len(mine) if everywhere else None
    in_front = tuple(tuple(_names(mine, place)) for place in told)
    return Report(namespace, tuple(told), in_front, elsewhere, tuple(notes), now)


def _names(mine: Iterable[Place], place: Place) -> Iterable[str]:
    for other in mine:
        if other.work.lane is place.work.lane and other.position < place.position:
            yield f"{other.work.kind.value}/{other.work.name}"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
