"""Tokenized examples as flat arrays: a hundredth of the memory that Python's numbers would take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finetune_trainer.tokenization import EncodedExample

Numbers = npt.NDArray[np.int32]
IGNORED = -100
"""The label of a token that the loss is not taken over."""


@dataclass(frozen=True)
class Tokens:
    """Examples one after the other."""

    values: Numbers
    """Tokens of all examples, shape (tokens,)."""
    lengths: Numbers
    """Tokens of each example, shape (examples,)."""
    prompt_lengths: Numbers
    """Of them the prompt's, shape (examples,)."""

    @classmethod
    def of(cls, examples: Iterable[EncodedExample]) -> Tokens:
        encoded = list(examples)
        pieces = [np.asarray(example.tokens, np.int32) for example in encoded]
        return cls(
            np.concatenate(pieces) if pieces else np.empty(0, np.int32),
            np.asarray([len(example.tokens) for example in encoded], np.int32),
            np.asarray([example.prompt_length for example in encoded], np.int32),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def labels(self) -> Numbers:
        """The tokens, with -100 in place of the prompts'."""
        within = np.arange(len(self.values)) - np.repeat(self.starts, self.lengths)
        return np.where(within < np.repeat(self.prompt_lengths, self.lengths), IGNORED, self.values).astype(np.int32)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each example begins."""
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    def ordered(self, order: Sequence[int]) -> Tokens:
        """The same examples in another order."""
        ends = self.starts + self.lengths
        pieces = [self.values[self.starts[index] : ends[index]] for index in order]
        chosen = np.asarray(order, np.int64)
        return Tokens(np.concatenate(pieces), self.lengths[chosen], self.prompt_lengths[chosen])
