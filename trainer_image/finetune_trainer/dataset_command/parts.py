"""The parts of a generated dataset: apart by company and by time, so that nothing after the cut-off date is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from random import Random

_MONTHS = "January February March April May June July August September October November December"
"""Not strftime's, which follow the locale."""
_LEARNT_DAYS = 8 * 365
_HELD_OUT_DAYS = 182


class Part(StrEnum):
    """Each is a file of that name."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Window:
    """Days of publication, both ends within."""

    first: date
    last: date

    def day(self, random: Random) -> date:
        return self.first + timedelta(days=random.randint(0, (self.last - self.first).days))


def window(part: Part, cutoff: date) -> Window:
    """Eight years to the cut-off date to learn from; half a year after it to validate, and half a year to test."""
    learnt_from = cutoff - timedelta(days=_LEARNT_DAYS)
    validated = cutoff + timedelta(days=_HELD_OUT_DAYS)
    return {
        Part.TRAIN: Window(learnt_from, cutoff),
        Part.VALIDATION: Window(cutoff + timedelta(days=1), validated),
        Part.TEST: Window(validated + timedelta(days=1), validated + timedelta(days=_HELD_OUT_DAYS)),
    }[part]


def rows_of(rows: int) -> dict[Part, int]:
    """How many rows each part has: eight tenths to learn from, the rest in halves."""
    held_out = rows // 10
    return {Part.TRAIN: rows - 2 * held_out, Part.VALIDATION: held_out, Part.TEST: held_out}


def written(day: date) -> str:
    """Such as 4 March 2021."""
    return f"{day.day} {_MONTHS.split()[day.month - 1]} {day.year}"
