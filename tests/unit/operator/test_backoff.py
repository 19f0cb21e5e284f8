"""Pauses between attempts: they double, are spread, and are the same whenever they are worked out."""

from __future__ import annotations

import pytest

from finetune_operator.plan.backoff import LONGEST_SECONDS, pause_seconds

UIDS = [f"uid-{number}" for number in range(500)]


@pytest.mark.parametrize(("failures", "whole"), [(1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (20, 3600)])
def test_a_pause_doubles_up_to_an_hour_and_loses_at_most_a_quarter(failures: int, whole: int) -> None:
    pauses = [pause_seconds(30, failures, uid, failures) for uid in UIDS]
    assert all(0.75 * whole <= pause <= whole for pause in pauses)
    assert max(pauses) <= LONGEST_SECONDS


def test_what_failed_together_does_not_come_back_together() -> None:
    pauses = [pause_seconds(1000, 1, uid, 1) for uid in UIDS]
    per_quarter = [sum(low <= pause - 750 < low + 63 for pause in pauses) for low in (0, 63, 126, 189)]
    assert all(90 <= count <= 160 for count in per_quarter), per_quarter


def test_the_attempts_of_one_resource_are_spread_apart_too() -> None:
    assert len({pause_seconds(3600, 1, "uid", attempt) for attempt in range(1, 21)}) > 15


def test_it_is_the_same_however_often_it_is_worked_out() -> None:
    assert {pause_seconds(1000, 3, "uid", 3) for _ in range(5)} == {pause_seconds(1000, 3, "uid", 3)}
