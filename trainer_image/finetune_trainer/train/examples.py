"""The prepared examples as the trainer takes them: tokens, and labels that leave the prompts out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow
from datasets import Dataset

from finetune_trainer.reporting import Reporter
from finetune_trainer.train.assignment import Assignment
from finetune_trainer.train.packing import fill_rows
from finetune_trainer.train.token_cache import TokenizedExamples, tokenized_examples
from finetune_trainer.train.tokens import Tokens


@dataclass(frozen=True)
class Material:
    """What the model learns from, and what it is checked with."""

    train: Dataset
    """One row an example; packed, several, whose lengths are in the column seq_lengths."""
    validation: Dataset | None
    """One row an example; None when none are held out."""


def read_material(assignment: Assignment, reporter: Reporter) -> Material:
    """Cut to the sequence length, and packed where the plan says so: into rows as long as the portions have them."""
    examples = examples_of(assignment)
    length = assignment.portions.pack_length
    rows = one_a_row(examples.train) if length is None else packed(examples.train, length)
    if length is not None:
        reporter.stage(f"packed {len(examples.train)} examples into {len(rows)} rows of {length} tokens")
        _check_steps(len(rows), assignment, reporter)
    return Material(rows, one_a_row(examples.validation) if len(examples.validation) else None)


def examples_of(assignment: Assignment) -> TokenizedExamples:
    return tokenized_examples(
        assignment.prepared_folder,
        assignment.model_folder,
        assignment.order.training.sequence_length,
        assignment.checkpoints.folder,
    )


def one_a_row(tokens: Tokens) -> Dataset:
    ends = np.cumsum(tokens.lengths)
    return Dataset(pyarrow.table({"input_ids": _rows(tokens.values, ends), "labels": _rows(tokens.labels, ends)}))


def packed(tokens: Tokens, row_length: int) -> Dataset:
    """Several examples a row; no example is cut in two."""
    rows = fill_rows(tokens.lengths.tolist(), row_length)
    inside = tokens.ordered([index for row in rows for index in row])
    examples_until = np.cumsum([len(row) for row in rows])
    tokens_until = np.cumsum(inside.lengths)[examples_until - 1]
    columns = {
        "input_ids": _rows(inside.values, tokens_until),
        "labels": _rows(inside.labels, tokens_until),
        "seq_lengths": _rows(inside.lengths, examples_until),
    }
    return Dataset(pyarrow.table(columns))


def _rows(values: np.ndarray, ends: np.ndarray) -> pyarrow.Array:
    offsets = np.concatenate([[0], ends])
    return pyarrow.LargeListArray.from_arrays(pyarrow.array(offsets, pyarrow.int64()), pyarrow.array(values))


def _check_steps(rows: int, assignment: Assignment, reporter: Reporter) -> None:
    planned = assignment.prepared.plan.steps
    steps = math.ceil(rows / assignment.portions.rows_per_step) * assignment.order.training.epochs
    if steps != planned:
        reporter.problem(f"the packed examples take {steps} steps; the plan expected {planned}")
