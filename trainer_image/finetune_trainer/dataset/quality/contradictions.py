"""Questions that are answered in more than one way: nothing can be learnt from them but to guess."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from finetune_trainer.dataset.quality.findings import Finding, FindingKind
from finetune_trainer.dataset.quality.grams import text_hash
from finetune_trainer.dataset.quality.texts import text_of
from finetune_trainer.dataset.reading import NumberedExample


def contradictions(examples: Sequence[NumberedExample]) -> tuple[Finding, ...]:
    """Every example whose question another one answers otherwise, by line. They stay: which is right is not known."""
    answers: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for numbered in examples:
        text = text_of(numbered.example)
        answers[text_hash(text.question)].append((numbered.line, text_hash(text.answer)))
    found = (finding for given in answers.values() for finding in _contradicting(given))
    return tuple(sorted(found, key=lambda finding: finding.line))


def _contradicting(given: Sequence[tuple[int, int]]) -> list[Finding]:
    """The first line of the first answer, and the first that has another: everyone's peer is one of the two."""
    first_line, first_answer = given[0]
    other_line = next((line for line, answer in given if answer != first_answer), None)
    if other_line is None:
        return []
    peers = [(line, other_line if answer == first_answer else first_line) for line, answer in given]
    return [
        Finding(FindingKind.CONTRADICTION, line, f"line {peer} answers the same question otherwise", 0.9, peer)
        for line, peer in peers
    ]
