"""Fills rows of a fixed length with several examples, which do not see each other. Needs no torch: the plan counts
the rows with it before a GPU is asked for."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


def fill_rows(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """Best fit, longest first: each row as the indices of its examples; an example that is longer than a row is taken
    as one that fills it. The same lengths always give the same rows, in the same order.

    Within 11/9 of the fewest rows that are possible (Johnson, 1974); trl's strategy "bfd" is the same.
    """
    rows: list[list[int]] = []
    by_space: dict[int, list[int]] = {}
    spaces: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = min(lengths[index], row_length)
        row, space = _tightest(length, row_length, rows, by_space, spaces)
        rows[row].append(index)
        if space > length:
            if space - length not in by_space:
                insort(spaces, space - length)
            by_space.setdefault(space - length, []).append(row)
    return rows


def _tightest(
    length: int, row_length: int, rows: list[list[int]], by_space: dict[int, list[int]], spaces: list[int]
) -> tuple[int, int]:
    """Takes out the row with the least space that is enough, or a new one: its index and its space."""
    place = bisect_left(spaces, length)
    if place == len(spaces):
        rows.append([])
        return len(rows) - 1, row_length
    space = spaces[place]
    row = by_space[space].pop()
    if not by_space[space]:
        del by_space[space]
        del spaces[place]
    return row, space
