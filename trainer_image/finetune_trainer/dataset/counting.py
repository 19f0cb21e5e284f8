"""Counts tokens before anything is trained: what is cut, and what would teach nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from finetune_trainer.dataset.reading import LineProblem, NumberedExample
from finetune_trainer.tokenization import EncodedExample, EncodingError, Tokenizer


@dataclass(frozen=True)
class Counts:
    """Tokens of a set of examples."""

    tokens: int = 0
    trainable: int = 0
    longest: int = 0
    truncated: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.tokens + other.tokens,
            self.trainable + other.trainable,
            max(self.longest, other.longest),
            self.truncated + other.truncated,
        )


CountsByLine = dict[int, Counts]


def count_examples(
    examples: Sequence[NumberedExample],
    tokenizer: Tokenizer,
    sequence_length: int,
    on_example: Callable[[int], object],
) -> tuple[CountsByLine, tuple[LineProblem, ...]]:
    """Counts each example, by its line; those that cannot be learnt from come back as problems."""
    counts: CountsByLine = {}
    problems: list[LineProblem] = []
    for done, numbered in enumerate(examples, start=1):
        try:
            counts[numbered.line] = _counts(tokenizer.encode_example(numbered.example), sequence_length)
        except EncodingError as error:
            problems.append(LineProblem(numbered.line, str(error)))
        on_example(done)
    return counts, tuple(problems)


def total(examples: Sequence[NumberedExample], counts: CountsByLine) -> Counts:
    return sum((counts[numbered.line] for numbered in examples), start=Counts())


def _counts(encoded: EncodedExample, sequence_length: int) -> Counts:
    cut = encoded.cut(sequence_length)
    if cut.trainable == 0:
        raise EncodingError(
            f"the prompt alone has {encoded.prompt_length} tokens, so nothing of the answer is left after cutting at "
            f"{sequence_length}: shorten it or raise spec.training.sequenceLength"
        )
    length = len(encoded.tokens)
    return Counts(len(cut.tokens), cut.trainable, length, int(length > sequence_length))
