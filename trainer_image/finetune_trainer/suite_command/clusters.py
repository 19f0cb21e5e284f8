"""Sentences that share much of their wording, as groups: what is right of one is likely right of the other."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

SHARED_WORDS = 6
"""Words in a row, figures taken as alike, that two sentences of one group share."""


def clusters(sentences: Sequence[str]) -> list[int]:
    """A group's number for each sentence: the first sentence that it is connected with."""
    parents = list(range(len(sentences)))
    for members in _by_wording(sentences).values():
        for member in members[1:]:
            _join(parents, members[0], member)
    return [_root(parents, number) for number in range(len(sentences))]


def _by_wording(sentences: Sequence[str]) -> dict[tuple[str, ...], list[int]]:
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, sentence in enumerate(sentences):
        words = re.findall(r"[^\W\d]+|\d[\d.,]*", sentence.casefold())
        plain = ["0" if word[0].isdigit() else word for word in words]
        pieces = {tuple(plain[start : start + SHARED_WORDS]) for start in range(max(1, len(plain) - SHARED_WORDS + 1))}
        for piece in pieces:
            found[piece].append(number)
    return found


def _join(parents: list[int], one: int, other: int) -> None:
    low, high = sorted((_root(parents, one), _root(parents, other)))
    parents[high] = low


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number
