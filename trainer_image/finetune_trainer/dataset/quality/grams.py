"""Hashes of runs of words that are the same in every process, so that they can be kept in a file."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache

SHINGLE_WORDS = 3
"""Words of a shingle: two texts are as alike as they have shingles in common (Jaccard)."""
NGRAM_WORDS = 13
"""Words of a run that two texts do not have in common by chance (Brown et al. 2020, appendix C)."""

# A polynomial over a Mersenne prime (Rabin and Karp 1987): the next run's hash follows from the last one's.
_PRIME = (1 << 61) - 1
_BASE = 0x1B873593CC9E2D51 % _PRIME


def text_hash(text: str) -> int:
    """61 bits of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") % _PRIME


_word_hash = lru_cache(maxsize=1 << 17)(text_hash)


def shingles(words: Sequence[str]) -> array[int]:
    """The different shingles, ascending; a text shorter than one is itself the only one."""
    return _ascending(_rolling(words, min(SHINGLE_WORDS, len(words))))


def ngrams(words: Sequence[str]) -> array[int]:
    """The different 13-grams, ascending; none of a shorter text."""
    return _ascending(_rolling(words, NGRAM_WORDS))


def _ascending(hashes: Iterable[int]) -> array[int]:
    return array("Q", sorted(set(hashes)))


def _rolling(words: Sequence[str], length: int) -> list[int]:
    if not words or len(words) < length:
        return []
    hashes = [_word_hash(word) for word in words]
    leaving = pow(_BASE, length, _PRIME)
    value, found = 0, []
    for place, entering in enumerate(hashes):
        value = value * _BASE + entering
        if place >= length:
            value -= hashes[place - length] * leaving
        value %= _PRIME
        if place >= length - 1:
            found.append(value)
    return found
