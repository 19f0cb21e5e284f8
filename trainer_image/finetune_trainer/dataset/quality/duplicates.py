"""Examples that teach what an earlier one teaches already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from finetune_trainer.dataset.quality.findings import Finding, FindingKind
from finetune_trainer.dataset.quality.grams import shingles, text_hash
from finetune_trainer.dataset.quality.similarity import SimilarTexts
from finetune_trainer.dataset.quality.texts import Text, text_of
from finetune_trainer.dataset.reading import NumberedExample


@dataclass(frozen=True)
class Distinct:
    """The examples without the copies, in the order of the file, and what was left out."""

    examples: tuple[NumberedExample, ...]
    findings: tuple[Finding, ...]


def distinct(
    examples: Sequence[NumberedExample],
    similarity: float,
    wanted: frozenset[int] = frozenset(),
    on_example: Callable[[int], object] = lambda done: None,
) -> Distinct:
    """Leaves out exact and near duplicates of an earlier example that is kept, but no line that is wanted."""
    kept: list[NumberedExample] = []
    findings: list[Finding] = []
    earlier = _Earlier(similarity)
    for done, numbered in enumerate(examples, start=1):
        finding = earlier.copy_of(numbered.line, text_of(numbered.example))
        if finding is None or numbered.line in wanted:
            kept.append(numbered)
        else:
            findings.append(finding)
        on_example(done)
    return Distinct(tuple(kept), tuple(findings))


class _Earlier:
    """The examples that are kept so far."""

    def __init__(self, similarity: float) -> None:
        self._similarity = similarity
        self._lines: dict[tuple[int, int], int] = {}
        self._alike: dict[int, SimilarTexts] = {}

    def copy_of(self, line: int, text: Text) -> Finding | None:
        """What this example repeats; None where it is new, and is remembered."""
        exact = (text_hash(text.question), text_hash(text.answer))
        if exact in self._lines:
            first = self._lines[exact]
            return Finding(FindingKind.EXACT_DUPLICATE, line, f"the same as line {first}", 0.2, first)
        near = self._near(line, text)
        if near is None:
            self._lines[exact] = line
        return near

    def _near(self, line: int, text: Text) -> Finding | None:
        block = self._alike.setdefault(_must_agree(text), SimilarTexts(self._similarity))
        own = shingles(text.words)
        found = next(block.like(own), None)
        if found is None:
            block.add(line, own)
            return None
        first, similarity = found
        detail = f"{100 * similarity:.0f}% the same as line {first}, with the same figures and answer"
        return Finding(FindingKind.NEAR_DUPLICATE, line, detail, 0.3, first)


def _must_agree(text: Text) -> int:
    """What near duplicates have exactly in common. Examples written by one template are much alike and yet teach
    different things: they differ in a figure, in the answer, or in the question that comes after a long text."""
    question = text.last_line if text.last_line != text.source else ""
    return text_hash("\x00".join((text.instruction, text.answer, question, *text.figures)))
