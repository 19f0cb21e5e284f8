"""Growth as a direction and a size: 'up 12.5%', 'revenue fell by 3 percent', '-4%'."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from finetune_trainer.scoring import labels, number_answers, numbers


class Direction(StrEnum):
    """Which way a figure went."""

    UP = "up"
    DOWN = "down"
    FLAT = "flat"


_WORDS: dict[str, Direction] = {
    **dict.fromkeys(("up", "rise", "rose", "risen", "rising", "grew", "grow", "growth", "grown"), Direction.UP),
    **dict.fromkeys(("higher", "increase", "increased", "gain", "gained", "climbed", "jumped"), Direction.UP),
    **dict.fromkeys(
        ("rises", "grows", "growing", "increases", "increasing", "climbs", "surged", "soared"), Direction.UP
    ),
    **dict.fromkeys(("jumps", "surges", "climbing", "expanded"), Direction.UP),
    **dict.fromkeys(("down", "fall", "fell", "fallen", "falling", "drop", "dropped", "lower"), Direction.DOWN),
    **dict.fromkeys(("decrease", "decreased", "decline", "declined", "slipped", "shrank"), Direction.DOWN),
    **dict.fromkeys(("falls", "drops", "dropping", "declines", "declining", "decreases", "decreasing"), Direction.DOWN),
    **dict.fromkeys(("shrinks", "shrunk", "contracted", "reduced", "reduction", "plunged", "tumbled"), Direction.DOWN),
    **dict.fromkeys(("slid", "sank"), Direction.DOWN),
    **dict.fromkeys(("flat", "unchanged"), Direction.FLAT),
}


@dataclass(frozen=True)
class Growth:
    """What an answer says of a change; either part may be missing, never both.

    The percentage is signed where a direction is known; without one it is a bare size.
    """

    direction: Direction | None
    percent: Decimal | None

    def __str__(self) -> str:
        size = "" if self.percent is None else f"{abs(self.percent).normalize():f}%"
        return " ".join(part for part in (self.direction or "", size) if part)


def answer(text: str) -> Growth | None:
    """The growth that the text states; None when it states none, contradicts itself or only denies one."""
    affirmed, denied = labels.mentions(text, tuple(_WORDS))
    directions, ruled_out = {_WORDS[word] for word in affirmed}, {_WORDS[word] for word in denied}
    if len(directions) > 1 or directions & ruled_out or (ruled_out and not directions):
        return None
    number = _percentage(text)
    word = directions.pop() if directions else None
    if number is None:
        return Growth(word, None) if word else None
    return _signed(word, number)


def _percentage(text: str) -> numbers.Number | None:
    """The sign % marks the number that is meant; without one, it is the last number."""
    marked = [number for number in number_answers.claims(text) if number.is_percent]
    if not marked:
        return number_answers.last(text)
    return marked[-1] if len({abs(number.value) for number in marked}) == 1 else None


def _signed(word: Direction | None, number: numbers.Number) -> Growth | None:
    if word is None:
        return Growth(_direction_of(number.value) if number.has_sign else None, number.value)
    if word is Direction.UP and number.value < 0:
        return None
    return Growth(word, -abs(number.value) if word is Direction.DOWN else number.value)


def _direction_of(value: Decimal) -> Direction:
    if value == 0:
        return Direction.FLAT
    return Direction.UP if value > 0 else Direction.DOWN
