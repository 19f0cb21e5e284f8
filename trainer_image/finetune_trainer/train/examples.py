"""The prepared examples as the trainer takes them: tokens, and labels that leave the prompt out."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset

from finetune_trainer.dataset.examples import from_line
from finetune_trainer.tokenization import Tokenizer


def read_examples(path: Path, tokenizer: Tokenizer, sequence_length: int) -> Dataset | None:
    """Cut to the sequence length; None when the file holds none."""
    with path.open(encoding="utf-8") as lines:
        encoded = [tokenizer.encode_example(from_line(line)).cut(sequence_length) for line in lines]
    if not encoded:
        return None
    return Dataset.from_dict(
        {
            "input_ids": [list(example.tokens) for example in encoded],
            "labels": [list(example.labels) for example in encoded],
        }
    )
