"""What is kept of an example to find it again among others: hashes, no text."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from finetune_trainer.dataset.quality.grams import ngrams, shingles, text_hash
from finetune_trainer.dataset.quality.texts import Text, canonical, text_of, text_of_prompt, words_of
from finetune_trainer.dataset.reading import NumberedExample
from finetune_trainer.suites.model import Example, LoadedSuite


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Hashes of 61 bits, in arrays of unsigned 64-bit integers, ascending."""

    question: int
    figures: int
    """Of the source's figures: texts that differ in one are not near duplicates."""
    shingles: array[int]
    """Of the source alone, for an answer may be written in several ways."""
    ngrams: array[int]
    """Of source and answer, without the instruction that many share."""


@dataclass(frozen=True)
class Held:
    """An example that must not be learnt from."""

    name: str
    fingerprint: Fingerprint
    line: int | None = None


def fingerprint(text: Text) -> Fingerprint:
    return Fingerprint(
        question=text_hash(text.question),
        figures=text_hash("\x00".join(text.figures)),
        shingles=shingles(words_of(text.source)),
        ngrams=ngrams(text.words),
    )


def fingerprint_of(numbered: NumberedExample) -> Fingerprint:
    return fingerprint(text_of(numbered.example))


def held_by_suite(suite: LoadedSuite) -> Iterator[Held]:
    """Every example of the suite, raw texts too."""
    for examples in suite.examples.values():
        for example in examples:
            yield Held(f"example {example.id} of the suite {suite.suite.name}", fingerprint(_text(example)))


def _text(example: Example) -> Text:
    """A suite's example in the form of a dataset's."""
    answer = example.reference or ""
    if example.messages is None:
        return text_of_prompt(example.prompt or example.text or "", answer)
    turns = example.messages
    system = turns[0].content if turns[0].role == "system" else ""
    asked = [turn.content for turn in turns if turn.role != "system"]
    if len(asked) == 1:
        return text_of_prompt(asked[0], answer, system)
    joined = "\n".join(asked)
    return Text(canonical(system), canonical(joined), canonical(asked[-1] if asked else ""), canonical(answer))
