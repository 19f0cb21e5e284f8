"""Finds texts that have most of their shingles in common, without comparing each with each."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from rensa import RMinHash, RMinHashLSH

_PERMUTATIONS = 128
_SEED = 20_250_101
_RECALL = 0.999
_FEW = 32
"""So many texts are compared each with each: exact, and faster than sketches."""


def jaccard(one: array[int], other: array[int]) -> float:
    """Shingles in common, of all that the two have."""
    common = len(set(one).intersection(other))
    return common / max(1, len(one) + len(other) - common)


class SimilarTexts:
    """Texts by number, and which of them is like a given one. Candidates come from MinHash sketches in bands (Broder
    1997; Leskovec et al., Mining of Massive Datasets, 3.4); each is verified, so nothing is found that is not so."""

    def __init__(self, similarity: float) -> None:
        self._similarity = similarity
        self._texts: dict[int, array[int]] = {}
        self._bands: RMinHashLSH | None = None

    def add(self, number: int, shingles: array[int]) -> None:
        self._texts[number] = shingles
        if self._bands is not None:
            self._bands.insert(number, _sketch(shingles))
        elif len(self._texts) > _FEW:
            self._bands = RMinHashLSH(self._similarity, _PERMUTATIONS, _bands(self._similarity))
            for each, its_shingles in self._texts.items():
                self._bands.insert(each, _sketch(its_shingles))

    def like(self, shingles: array[int]) -> Iterator[tuple[int, float]]:
        """Numbers of the texts that are similar enough, ascending, and how similar they are."""
        for number in self._candidates(shingles):
            found = self._alike(shingles, self._texts[number])
            if found is not None:
                yield number, found

    def _candidates(self, shingles: array[int]) -> list[int]:
        return sorted(self._texts if self._bands is None else self._bands.query(_sketch(shingles)))

    def _alike(self, one: array[int], other: array[int]) -> float | None:
        """The similarity where it suffices: lengths that differ too much need no comparison."""
        short, long = sorted((len(one), len(other)))
        if short < self._similarity * long:
            return None
        found = jaccard(one, other)
        return found if found >= self._similarity else None


def _sketch(shingles: array[int]) -> RMinHash:
    sketch = RMinHash(_PERMUTATIONS, _SEED)
    sketch.update([shingle.to_bytes(8, "little") for shingle in shingles])
    return sketch


def _bands(similarity: float) -> int:
    """As few bands as find a pair of this similarity in 999 cases of 1000, where so many permutations can."""
    for rows in (16, 8, 4):
        bands = _PERMUTATIONS // rows
        if 1 - (1 - similarity**rows) ** bands >= _RECALL:
            return bands
    return _PERMUTATIONS // 2
