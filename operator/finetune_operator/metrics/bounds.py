"""How many series there may be, whatever there is."""

from collections.abc import Collection, Hashable, Iterable
from typing import Generic, TypeVar

from finetune_api.conditions import Reason

Item = TypeVar("Item", bound=Hashable)

OTHER = "Other"
_REASONS = frozenset(reason.value for reason in Reason)


def known_reason(word: str) -> str:
    """A status may have been written by another version of the operator, or by hand."""
    return word if word in _REASONS else OTHER


class FirstComers(Generic[Item]):
    """Those that have series of their own: the first ones, each until it is gone, so that no series comes and goes
    because of others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._chosen: dict[Item, None] = {}

    def choose(self, present: Iterable[Item]) -> Collection[Item]:
        """Of all that are there now; those in front are taken first."""
        candidates = dict.fromkeys(present)
        kept = [item for item in self._chosen if item in candidates]
        free = self._most - len(kept)
        new = [item for item in candidates if item not in self._chosen][:free]
        self._chosen = dict.fromkeys((*kept, *new))
        return self._chosen.keys()
