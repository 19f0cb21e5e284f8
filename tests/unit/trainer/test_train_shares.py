"""What each of several processes learns from: the rows of every step, in the order in which one process takes them."""

from __future__ import annotations

from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import SequentialSampler

from finetune_trainer.train.shares import Share, SharedBatches, in_order, shuffled, with_spare_row

rows_of_data = st.integers(1, 60)
ranks_and_portions = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
"""Processes, rows of a micro-batch, micro-batches a step."""


def batches_of(rows: int, ranks: int, size: int, accumulation: int) -> list[SharedBatches]:
    order = SequentialSampler(range(rows))
    share = [Share(rank, ranks, size, size * accumulation * ranks) for rank in range(ranks)]
    return [SharedBatches(order, rows, each, spare=rows) for each in share]


@given(rows_of_data, ranks_and_portions)
def test_every_step_holds_the_rows_that_one_process_takes(rows: int, portions: tuple[int, int, int]) -> None:
    ranks, size, accumulation = portions
    by_rank = [list(each) for each in batches_of(rows, ranks, size, accumulation)]
    for step, start in enumerate(range(0, rows, size * accumulation * ranks)):
        expected = list(range(start, min(start + size * accumulation * ranks, rows)))
        mine = slice(step * accumulation, (step + 1) * accumulation)
        taken = [row for batches in by_rank for batch in batches[mine] for row in batch]
        assert [row for row in taken if row != rows] == expected


@given(rows_of_data, ranks_and_portions)
def test_all_processes_compute_equally_many_micro_batches(rows: int, portions: tuple[int, int, int]) -> None:
    by_rank = batches_of(rows, *portions)
    sizes = [[len(batch) for batch in each] for each in by_rank]
    assert all(mine == sizes[0] for mine in sizes)
    assert [len(each) for each in by_rank] == [len(sizes[0])] * len(by_rank)


@given(rows_of_data, ranks_and_portions)
def test_the_spare_row_only_fills_up_the_last_step(rows: int, portions: tuple[int, int, int]) -> None:
    ranks, size, accumulation = portions
    spares = sum(batch.count(rows) for each in batches_of(rows, *portions) for batch in each)
    assert spares < ranks
    assert spares == 0 or rows % (size * accumulation * ranks) != 0


def some_rows(count: int) -> Dataset:
    return Dataset.from_dict({"input_ids": [[index, 7, 8] for index in range(count)], "labels": [[-100, 7, 8]] * count})


def test_nothing_is_learnt_from_the_spare_row() -> None:
    rows = with_spare_row(some_rows(5))
    assert len(rows) == 6
    assert rows[5]["labels"] == [-100, -100]
    assert rows[:5] == some_rows(5)[:]


def test_a_packed_spare_row_tells_its_length() -> None:
    packed = some_rows(2).add_column("seq_lengths", [[2, 1], [3]])
    assert with_spare_row(packed)[2] == {"input_ids": [0, 7], "labels": [-100, -100], "seq_lengths": [2]}


def test_each_epoch_has_its_order_and_it_comes_again() -> None:
    share = Share(rank=0, ranks=1, micro_batch_size=4, rows_per_step=4)
    batches = shuffled(some_rows(20), share, seed=3)
    first, second = list(batches), list(batches)
    batches.set_epoch(0)
    assert first != second
    assert list(batches) == first
    assert list(in_order(some_rows(5), share)) == [[0, 1, 2, 3], [4]]
