"""Hundreds of mixtures of faults, each drawn by its seed: the oracles find nothing wrong with any of them.

`FAULT_SCHEDULES=5000` tells more of them, `FAULT_SEED=17` one alone, both together so many from that one on."""

from __future__ import annotations

import logging
import os
from random import Random

import pytest

from .simulation.faults import schedule
from .simulation.oracles import told_under
from .simulation.stories import STORIES_UNDER_FIRE
from .simulation.world import Story

DEFAULT_SCHEDULES = 300


def chosen_seeds() -> list[int]:
    first, number = os.environ.get("FAULT_SEED"), os.environ.get("FAULT_SCHEDULES")
    count = int(number) if number else (DEFAULT_SCHEDULES if first is None else 1)
    return list(range(int(first or 0), int(first or 0) + count))


def story_of(seed: int) -> Story:
    """Cheap ones more often."""
    (tell,) = Random(seed).choices(list(STORIES_UNDER_FIRE), weights=list(STORIES_UNDER_FIRE.values()))
    return tell


@pytest.mark.parametrize("seed", chosen_seeds())
def test_no_mixture_of_faults_changes_the_end_or_costs_a_computation(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "finetune_operator")
    plan, tell = schedule(seed), story_of(seed)
    wrong = told_under(plan, tell) + [record.getMessage() for record in caplog.records]
    replay = f"FAULT_SEED={seed} python -m pytest tests/unit/operator/test_fault_schedules.py"
    assert wrong == [], "\n".join([f"{tell.__name__} under {plan}", *wrong, f"tell it again: {replay}"])
