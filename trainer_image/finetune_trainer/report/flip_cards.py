"""The flips as the page shows them: both answers side by side, with the tokens marked in which they differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from finetune_trainer.flips.flips import Answer, Flip

_SHOWN_LENGTH = 600
_TOKEN = re.compile(r"\d[\d.,]*|\w+|\s+|.", re.DOTALL)
"""A number stays whole: in '2.14' and '2.41' it is the number that differs."""


@dataclass(frozen=True)
class Span:
    """A stretch of an answer."""

    text: str
    differs: bool


@dataclass(frozen=True)
class Side:
    """One model's answer."""

    spans: tuple[Span, ...]
    score: str
    is_readable: bool


@dataclass(frozen=True)
class FlipCard:
    """One flip."""

    id: str
    change: str
    cause: str
    question: str
    reference: str
    base: Side
    tuned: Side


def flip_card(flip: Flip) -> FlipCard:
    """Long texts are cut."""
    base, tuned = marked(_cut(flip.base.text), _cut(flip.tuned.text))
    return FlipCard(
        id=flip.id,
        change="became better" if flip.improved else "became worse",
        cause=flip.cause,
        question=_cut(flip.question),
        reference=_cut(flip.reference),
        base=_side(flip.base, base),
        tuned=_side(flip.tuned, tuned),
    )


def marked(one: str, other: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Both texts in stretches that are common to them, and stretches that are not."""
    left, right = _TOKEN.findall(one), _TOKEN.findall(other)
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return (
        tuple(_spans(left, [(block.a, block.size) for block in blocks])),
        tuple(_spans(right, [(block.b, block.size) for block in blocks])),
    )


def _spans(tokens: Sequence[str], common: Sequence[tuple[int, int]]) -> Iterator[Span]:
    reached = 0
    for start, size in common:
        for text, differs in (("".join(tokens[reached:start]), True), ("".join(tokens[start : start + size]), False)):
            if text:
                yield Span(text, differs)
        reached = start + size


def _side(answer: Answer, spans: tuple[Span, ...]) -> Side:
    return Side(spans, f"{answer.score:.2g}", answer.is_readable)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + " …"
