"""Portions and steps, packed or not."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.finetunejob import Training
from finetune_trainer.failures import UserError
from finetune_trainer.planning.portions import check_portions, possible_micro_batches, rank_share
from finetune_trainer.planning.steps import Lengths, count_steps, rows_note, rows_per_step, rows_without_lengths


def training(**changes: Any) -> Training:
    return Training.model_validate({"epochs": 2, "sequence_length": 1000, "effective_batch_size": 16} | changes)


def test_unpacked_a_row_is_an_example() -> None:
    steps = count_steps(training(), Lengths((100,) * 33), ranks=1)
    assert (steps.rows_per_step, steps.per_epoch, steps.total) == (16, 3, 6)


@pytest.mark.parametrize(("mean_length", "rows"), [(250, 4), (100, 2), (95, 2), (90, 1), (10, 1), (1000, 16), (300, 5)])
def test_packed_a_step_has_the_rows_that_hold_as_many_examples(mean_length: float, rows: int) -> None:
    assert rows_per_step(training(packing=True), mean_length, ranks=1) == rows


def test_packed_steps_follow_from_the_rows_that_are_filled() -> None:
    # Four rows of three examples each, of which a step takes 16 * 300 / 1000, so 5.
    steps = count_steps(training(packing=True), Lengths((300,) * 12), ranks=1)
    assert (steps.rows_per_step, steps.per_epoch, steps.total) == (5, 1, 2)


@given(st.floats(1, 1000), st.integers(1, 4096), st.integers(1, 32))
def test_packed_rows_can_be_shared_evenly(mean_length: float, examples: int, ranks: int) -> None:
    rows = rows_per_step(training(packing=True, effective_batch_size=examples), mean_length, ranks)
    assert rows % ranks == 0
    assert abs(rows - examples * mean_length / 1000) <= max(ranks, 0.5 * ranks)


def test_packed_rows_tell_how_many_examples_they_hold() -> None:
    note = partial(rows_note, training(packing=True), 300)
    filled = "16 examples of 300.0 tokens on the mean fill 4.80 rows of 1000: a step takes "
    assert note(1) == filled + "5, which hold about 17 examples"
    assert note(3) == filled + "6, a multiple of the 3 GPUs that share them, which hold about 20 examples"
    assert note(8) == filled + "8, a multiple of the 8 GPUs that share them, which hold about 27 examples"
    assert rows_note(training(), 300, 1) is None


@given(st.integers(1, 4096), st.none() | st.integers(1, 64), st.integers(1, 32))
def test_before_the_lengths_are_known_packed_rows_can_be_cut_into_portions(
    examples: int, pinned: int | None, ranks: int
) -> None:
    rows = rows_without_lengths(training(packing=True, effective_batch_size=examples, micro_batch_size=pinned), ranks)
    assert rows >= examples
    assert possible_micro_batches(rank_share(rows, ranks), pinned, rows)
    assert rows_without_lengths(training(effective_batch_size=examples), ranks) == examples


@given(st.integers(1, 512), st.integers(1, 512))
def test_micro_batches_divide_the_share_largest_first(share: int, at_once: int) -> None:
    sizes = possible_micro_batches(share, None, at_once)
    assert all(share % size == 0 for size in sizes)
    assert list(sizes) == sorted(sizes, reverse=True)
    assert sizes[-1] == 1
    assert sizes[0] <= at_once


def test_a_pinned_micro_batch_must_divide_the_share_of_a_gpu() -> None:
    check_portions(training(micro_batch_size=4), gpus=4, nodes=1)
    with pytest.raises(UserError, match=r"microBatchSize: 8 must divide the 4 rows of a step that each GPU takes"):
        check_portions(training(micro_batch_size=8), gpus=4, nodes=1)


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    with pytest.raises(UserError, match=r"effectiveBatchSize: 16 cannot be shared evenly by 3 GPUs .* multiple of 3"):
        check_portions(training(), gpus=3, nodes=1)
    assert rank_share(16, 4) == 4
