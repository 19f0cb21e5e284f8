"""Splits examples into those to learn from and those held out: by seed and content, not by their order in the file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from finetune_trainer.dataset.examples import to_line
from finetune_trainer.dataset.reading import NumberedExample
from finetune_trainer.digests import text_digest


@dataclass(frozen=True)
class Split:
    """Examples to learn from and examples held out, each in the order of the file."""

    train: tuple[NumberedExample, ...]
    validation: tuple[NumberedExample, ...]

    @property
    def digest(self) -> str:
        """sha256 of the canonical examples and their split."""
        return text_digest(canonical_lines(self.train) + "\n" + canonical_lines(self.validation))


def canonical_lines(examples: Sequence[NumberedExample]) -> str:
    return "".join(to_line(numbered.example) + "\n" for numbered in examples)


def split(examples: Sequence[NumberedExample], fraction: Decimal, seed: int) -> Split:
    """Holds out a share of the examples, at least one when the share is above 0; equal examples stay together."""
    held_out = _held_out(examples, _wanted(len(examples), fraction), seed)
    train = tuple(numbered for numbered in examples if to_line(numbered.example) not in held_out)
    validation = tuple(numbered for numbered in examples if to_line(numbered.example) in held_out)
    return Split(train, validation)


def _wanted(count: int, fraction: Decimal) -> int:
    if fraction == 0 or count < 2:
        return 0
    return max(1, int(count * fraction))


def _held_out(examples: Sequence[NumberedExample], wanted: int, seed: int) -> frozenset[str]:
    """Contents to hold out, in the order of their keyed hashes, as far as they and their copies fit."""
    copies = Counter(to_line(numbered.example) for numbered in examples)
    if wanted == 0 or len(copies) < 2:
        return frozenset()
    ranked = sorted(copies, key=lambda line: _rank(line, seed))
    chosen: set[str] = set()
    room = wanted
    for line in ranked:
        if copies[line] <= room:
            chosen.add(line)
            room -= copies[line]
    # Where every content has more copies than there is room for, the one with the fewest is held out.
    return frozenset(chosen or {min(ranked, key=copies.__getitem__)})


def _rank(line: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{line}".encode()).hexdigest()


def copies(examples: Sequence[NumberedExample]) -> int:
    """Examples that repeat an earlier one."""
    return len(examples) - len({to_line(numbered.example) for numbered in examples})
