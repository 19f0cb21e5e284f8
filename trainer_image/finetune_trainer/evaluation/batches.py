"""Which examples go through the model together: fixed by the suite and the model, so that every run is cut the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def batches(items: Sequence[Item], length: Callable[[Item], int], *, rows: int, tokens: int) -> list[tuple[Item, ...]]:
    """Items of similar length, the longest first: memory that does not suffice shows at once, and the time still needed
    is rather over- than underestimated. No batch has more than `rows` items or, padded, `tokens` tokens."""
    ordered = sorted(items, key=length, reverse=True)
    cut: list[tuple[Item, ...]] = []
    while ordered:
        size = max(1, min(rows, tokens // max(1, length(ordered[0]))))
        cut.append(tuple(ordered[:size]))
        ordered = ordered[size:]
    return cut


def common_beginning(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The longest beginning of all prompts that leaves at least one token of each."""
    first, last = min(prompts), max(prompts)
    longest = min(map(len, prompts)) - 1
    length = next((index for index in range(longest) if first[index] != last[index]), longest)
    return first[:length]
