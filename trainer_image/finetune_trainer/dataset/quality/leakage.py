"""Examples to learn from that stand among those that the model is judged by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from finetune_trainer.dataset.quality.fingerprints import Fingerprint, Held
from finetune_trainer.dataset.quality.grams import NGRAM_WORDS
from finetune_trainer.dataset.quality.similarity import SimilarTexts

_COMMON_SHARE = 0.01
_COMMON_ROWS = 2
"""A run of words is common beyond this share of the rows, but never while so few have it: in a small dataset one leak
alone is more than a hundredth of the rows."""


@dataclass(frozen=True)
class Leak:
    """A held-out example, by its place, and how a row gives it away."""

    held: int
    how: str


@dataclass(frozen=True)
class Leakage:
    """What is given away."""

    rows: Mapping[int, Leak]
    """By the place of the row to learn from: the first held-out example that it gives away."""
    held: frozenset[int]
    """Places of all held-out examples that any row gives away."""


def find_leaks(
    learnt: Iterable[Fingerprint],
    held: Sequence[Held],
    similarity: float,
    on_row: Callable[[int], object] = lambda done: None,
) -> Leakage:
    """A row gives a held-out example away by the same question, as a near duplicate with the same figures, or by 13
    words in a row that few others have. The rows are read once; only what is held out is kept in memory."""
    searches = (_Questions(held), _Sources(held, similarity))
    runs = _Runs(held)
    leaks: dict[int, list[Leak]] = defaultdict(list)
    rows = 0
    for row in learnt:
        for search in searches:
            leaks[rows] += search.leaks(row)
        runs.read(rows, row)
        rows += 1
        on_row(rows)
    for place, leak in runs.leaks(rows):
        leaks[place].append(leak)
    return Leakage(
        rows={place: found[0] for place, found in leaks.items() if found},
        held=frozenset(leak.held for found in leaks.values() for leak in found),
    )


class _Questions:
    """Finds the same question, whatever the answer."""

    def __init__(self, held: Sequence[Held]) -> None:
        self._held: dict[int, list[int]] = defaultdict(list)
        for place, each in enumerate(held):
            self._held[each.fingerprint.question].append(place)

    def leaks(self, row: Fingerprint) -> Iterator[Leak]:
        return (Leak(place, "the same question") for place in self._held.get(row.question, ()))


class _Sources:
    """Finds near duplicates: similar texts with the very same figures."""

    def __init__(self, held: Sequence[Held], similarity: float) -> None:
        self._alike: dict[int, SimilarTexts] = defaultdict(lambda: SimilarTexts(similarity))
        for place, each in enumerate(held):
            self._alike[each.fingerprint.figures].add(place, each.fingerprint.shingles)

    def leaks(self, row: Fingerprint) -> Iterator[Leak]:
        if row.figures in self._alike:
            for place, similarity in self._alike[row.figures].like(row.shingles):
                yield Leak(place, f"{100 * similarity:.0f}% the same text")


class _Runs:
    """Finds runs of words that are common neither among the rows nor among what is held out."""

    def __init__(self, held: Sequence[Held]) -> None:
        self._held: dict[int, list[int]] = defaultdict(list)
        for place, each in enumerate(held):
            for ngram in each.fingerprint.ngrams:
                self._held[ngram].append(place)
        for ngram in [each for each, places in self._held.items() if _is_common(len(places), len(held))]:
            del self._held[ngram]
        self._rows: dict[int, list[int]] = defaultdict(list)

    def read(self, place: int, row: Fingerprint) -> None:
        for ngram in row.ngrams:
            if ngram in self._held:
                self._rows[ngram].append(place)

    def leaks(self, rows: int) -> Iterator[tuple[int, Leak]]:
        """By row, once all are read: only then is known what is common."""
        pairs = {
            (row, held)
            for ngram, found in self._rows.items()
            if not _is_common(len(found), rows)
            for row in found
            for held in self._held[ngram]
        }
        for row, place in sorted(pairs):
            yield row, Leak(place, f"{NGRAM_WORDS} words in a row that both have")


def _is_common(count: int, rows: int) -> bool:
    return count > max(_COMMON_ROWS, rows * _COMMON_SHARE)
