"""The prepared examples as the trainer takes them: tokens, and labels that leave the prompts out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
from datasets import Dataset

from finetune_api.finetunejob import Training
from finetune_api.planning import TrainingPlan
from finetune_trainer.reporting import Reporter
from finetune_trainer.train.packing import fill_rows
from finetune_trainer.train.token_cache import tokenized_examples
from finetune_trainer.train.tokens import Tokens


@dataclass(frozen=True)
class Material:
    """What the model learns from, and what it is checked with."""

    train: Dataset
    """One row an example; packed, several, whose lengths are in the column seq_lengths."""
    validation: Dataset | None
    """One row an example; None when none are held out."""


def read_material(
    prepared_folder: Path,
    model_folder: Path,
    training: Training,
    plan: TrainingPlan,
    cache_folder: Path,
    reporter: Reporter,
) -> Material:
    """Cut to the sequence length, and packed where the plan says so."""
    examples = tokenized_examples(prepared_folder, model_folder, training.sequence_length, cache_folder)
    rows = packed(examples.train, training.sequence_length) if plan.packing else one_a_row(examples.train)
    if plan.packing:
        _report_packing(len(examples.train), len(rows), training, plan, reporter)
    return Material(rows, one_a_row(examples.validation) if len(examples.validation) else None)


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


def _report_packing(examples: int, rows: int, training: Training, plan: TrainingPlan, reporter: Reporter) -> None:
    reporter.stage(f"packed {examples} examples into {rows} rows of {training.sequence_length} tokens")
    steps = -(-rows // (plan.rows_per_step or training.effective_batch_size)) * training.epochs
    if steps != plan.steps:
        reporter.problem(f"the packed examples take {steps} steps; the plan expected {plan.steps}")
