"""What changed from one dataset to another: by content, not by line."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from finetune_trainer.dataset_command.contents import Contents, Entry

Pair = tuple[Entry, Entry]


@dataclass(frozen=True)
class Differences:
    """Every example of either dataset is in one of these; a moved or reordered one counts as the same, too."""

    same: int
    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    changed: tuple[Pair, ...]
    """The same prompt with another answer: before and after."""
    moved: tuple[Pair, ...]
    """In another part."""
    reordered: int
    """The fewest examples that one would have to put elsewhere."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved or self.reordered)


def differences(before: Contents, after: Contents) -> Differences:
    """Equal examples are paired first, then those that share a prompt, each in their order."""
    same, removed, added = _paired(before.entries, after.entries, lambda entry: entry.line)
    changed, removed, added = _paired(removed, added, lambda entry: entry.prompt)
    moved = tuple(pair for pair in same if None not in (pair[0].part, pair[1].part) and pair[0].part != pair[1].part)
    return Differences(len(same), added, removed, changed, moved, _out_of_order(after, same))


def _paired(
    before: Sequence[Entry], after: Sequence[Entry], key: Callable[[Entry], str]
) -> tuple[tuple[Pair, ...], tuple[Entry, ...], tuple[Entry, ...]]:
    """Pairs with the same key, in the order of `before`; what is left of `before`, and of `after`."""
    waiting: dict[str, deque[Entry]] = defaultdict(deque)
    for entry in after:
        waiting[key(entry)].append(entry)
    pairs, alone = list[Pair](), list[Entry]()
    for entry in before:
        partners = waiting[key(entry)]
        if partners:
            pairs.append((entry, partners.popleft()))
        else:
            alone.append(entry)
    left = {id(entry) for partners in waiting.values() for entry in partners}
    return tuple(pairs), tuple(alone), tuple(entry for entry in after if id(entry) in left)


def _out_of_order(after: Contents, same: Sequence[Pair]) -> int:
    """All but the longest run of pairs that ascends in both datasets (patience sorting)."""
    places = {id(entry): place for place, entry in enumerate(after.entries)}
    tails = list[int]()
    for _, entry in same:
        place = places[id(entry)]
        at = bisect_left(tails, place)
        tails[at : at + 1] = [place]
    return len(same) - len(tails)
