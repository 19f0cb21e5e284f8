"""What several nodes used is added up, and missing where one of them lacks it."""

from __future__ import annotations

from datetime import timedelta

from torch.distributed import TCPStore

from finetune_trainer.train.usage import Usage
from finetune_trainer.train.usage_board import UsageBoard, together

FIRST = Usage({"GPU-a": 100.0}, product="NVIDIA L40S", rested_seconds=3.0, rested_joules=9.0, highest_celsius=70.0)
SECOND = Usage({"GPU-b": 50.0}, rested_seconds=3.0, rested_joules=6.0, highest_celsius=80.0, highest_mean_watts=200.0)


def test_energies_are_added_and_the_highest_counts() -> None:
    both = together(FIRST, [SECOND])
    assert both.joules == {"GPU-a": 100.0, "GPU-b": 50.0}
    assert (both.product, both.energy_note, both.rested_seconds) == ("NVIDIA L40S", None, 3.0)
    assert both.rested_joules == 15.0
    assert (both.highest_celsius, both.highest_mean_watts) == (80.0, 200.0)


def test_what_one_cannot_measure_is_missing_in_all() -> None:
    assert together(FIRST, [Usage(energy_note="not measured: GPU is lost")]).energy_note == "not measured: GPU is lost"


def test_the_first_node_hears_of_the_others_what_they_posted_last() -> None:
    store = TCPStore("localhost", 0, is_master=True, timeout=timedelta(seconds=20))
    first, second = UsageBoard(store, 0, 2), UsageBoard(store, 1, 2)
    assert first.with_others(FIRST) == FIRST
    second.post(Usage({"GPU-b": 20.0}))
    second.post(SECOND)
    assert first.with_others(FIRST) == together(FIRST, [SECOND])


def test_a_board_that_is_gone_costs_no_more_than_what_was_not_heard() -> None:
    store = TCPStore("localhost", 0, is_master=True, timeout=timedelta(seconds=20))
    client = TCPStore("localhost", store.port, is_master=False, timeout=timedelta(seconds=20))
    board = UsageBoard(client, 0, 2)
    store.set("usage/1", '{"joules": {"GPU-b": 50.0}}')
    heard = board.with_others(FIRST)
    del store
    assert board.with_others(FIRST) == heard
    board.post(FIRST)
