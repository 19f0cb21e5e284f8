"""How long to rest, and when resting is not enough: decisions on readings alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.guard import Guard, GuardAction, GuardState
from finetune_trainer.train.guard.controller import HELPLESS_SECONDS, PATIENCE_SECONDS, Controller
from finetune_trainer.train.guard.gpu_limits import DrawnEnergy
from finetune_trainer.train.guard.gpus import Reading
from finetune_trainer.train.guard.power import WINDOW_SECONDS, PowerLimit
from finetune_trainer.train.guard.temperature import TemperatureLimit

GPU = "GPU-1"


class Told:
    """A controller that is told readings of one GPU."""

    def __init__(self, guard: Guard) -> None:
        self.controller = Controller(guard, (GPU,))
        self._drawn = {GPU: DrawnEnergy()}
        self.now = 0.0
        self._reading = Reading(0.0, watts=100, celsius=40, joules=0.0)

    def reads(self, **values: float | str | None) -> Told:
        self._reading = replace(self._reading, time=self.now, **values)
        self._drawn[GPU].add(self._reading)
        self.controller.observe({GPU: self._reading}, self._drawn)
        return self

    def after(self, seconds: float, **values: float | str | None) -> Told:
        self.now += seconds
        return self.reads(**values)

    def works(self, seconds: float, **values: float | str | None) -> Told:
        self.controller.began(self.now)
        self.after(seconds, **values)
        self.controller.ended(self.now)
        return self

    @property
    def rest(self) -> float:
        return self.controller.rest_needed(self.now)


HOT = Guard(max_temperature_celsius=70)


def test_a_micro_batch_never_begins_while_the_limit_is_passed() -> None:
    told = Told(HOT).reads(celsius=60).works(1, celsius=70)
    assert told.rest > 0


def test_a_cool_gpu_does_not_rest() -> None:
    told = Told(HOT).reads(celsius=40).works(1, celsius=41)
    assert told.rest == 0
    assert told.controller.state(told.now) is None


def test_a_gpu_that_does_not_answer_does_not_hold_the_training_up_and_is_told() -> None:
    told = Told(HOT).reads(celsius=60).works(1, celsius=75)
    assert told.rest > 0
    told.after(1, error="GPU is lost")
    assert told.rest == 0
    assert told.controller.blind == {GPU: "GPU is lost"}


@pytest.mark.parametrize(
    ("guard", "missing", "why"),
    [
        (HOT, {"celsius": None}, "it does not tell its temperature"),
        (Guard(max_power_watts=300), {"watts": None, "joules": None}, "it tells neither its power nor its energy"),
    ],
)
def test_a_limit_that_cannot_be_watched_is_told(guard: Guard, missing: dict[str, None], why: str) -> None:
    told = Told(guard).reads(**missing)
    assert (told.controller.blind, told.rest) == ({GPU: why}, 0)


def test_without_an_energy_counter_the_power_is_added_up() -> None:
    drawn = DrawnEnergy()
    for second in range(11):
        drawn.add(Reading(float(second), watts=300))
    assert drawn.joules == 3000


def test_the_state_is_throttled_for_a_while_after_a_rest() -> None:
    told = Told(HOT).reads(celsius=60).works(1, celsius=71)
    assert told.rest > 0
    assert told.controller.state(told.now + 29) is GuardState.THROTTLED
    assert told.controller.state(told.now + 31) is None


def test_working_less_than_a_tenth_of_the_time_for_long_is_not_enough() -> None:
    told = Told(HOT).reads(celsius=60)
    while told.controller.leaving is None and told.now < 1000:
        told.works(1, celsius=71)
        for _ in range(11):
            assert told.rest > 0
            told.after(1, celsius=70)
        told.after(1, celsius=69)
        told.controller.rest_needed(told.now)
    assert told.controller.leaving is not None
    assert not told.controller.leaving.at_once
    assert PATIENCE_SECONDS <= told.now <= PATIENCE_SECONDS + 15
    assert told.controller.state(told.now) is GuardState.OVERHEATED


def test_a_single_long_rest_does_not_end_a_training_that_then_works_on() -> None:
    told = Told(HOT).reads(celsius=60).works(1, celsius=75)
    while told.now < PATIENCE_SECONDS - 10:
        assert told.rest > 0
        told.after(5, celsius=71)
    for _ in range(100):
        told.works(5, celsius=50)
        assert told.rest == 0
    assert told.controller.leaving is None


def test_a_gpu_that_stays_hot_at_rest_ends_the_training_at_once() -> None:
    told = Told(HOT).reads(celsius=60).works(1, celsius=75)
    while told.now < HELPLESS_SECONDS + 10:
        assert told.rest > 0
        told.after(5, celsius=75)
    assert told.controller.leaving is not None
    assert told.controller.leaving.at_once


def test_with_the_action_pause_passing_a_limit_is_enough() -> None:
    told = Told(HOT.model_copy(update={"action": GuardAction.PAUSE})).reads(celsius=60).works(1, celsius=69)
    assert told.rest == 0
    assert told.controller.leaving is None
    told.works(1, celsius=70)
    assert told.rest > 0
    assert told.controller.leaving is not None
    assert told.controller.leaving.why == "a GPU is past its limit (70 °C, limit 70 °C)"


def test_a_power_limit_below_what_an_idle_gpu_draws_is_never_kept_by_resting() -> None:
    limit = PowerLimit(40)
    for second in range(500):
        limit.observe(float(second), 50.0 * second, is_busy=False)
        assert second == 0 or limit.rest_needed(1.0) == WINDOW_SECONDS


@given(
    batch=st.floats(0.05, 3.0),
    busy=st.floats(150, 700),
    idle=st.floats(10, 90),
    share=st.floats(0.15, 1.2),
)
def test_no_thirty_seconds_take_more_than_the_limit_allows(
    batch: float, busy: float, idle: float, share: float
) -> None:
    """Whatever the GPU draws: power that changes at once, so that predictions are exact."""
    watts = idle + share * (busy - idle)
    limit, now, joules = PowerLimit(watts), 0.0, 0.0
    looks = [(now, joules)]

    def passes(seconds: float, drawn: float, *, is_busy: bool) -> None:
        nonlocal now, joules
        now, joules = now + seconds, joules + drawn * seconds
        limit.observe(now, joules, is_busy=is_busy)
        looks.append((now, joules))

    limit.observe(0.0, 0.0, is_busy=False)
    passes(1.0, idle, is_busy=False)
    while now < 3 * WINDOW_SECONDS:
        while (rest := limit.rest_needed(batch)) > 0.005:
            passes(min(rest, 5.0), idle, is_busy=False)
        passes(batch, busy, is_busy=True)
        assert limit.mean_watts is None or limit.mean_watts <= watts * 1.001


@given(readings=st.lists(st.integers(20, 110), min_size=1, max_size=60), batch=st.floats(0.05, 3.0))
def test_whatever_is_read_a_rest_is_a_number_of_seconds_and_none_is_needed_far_below_the_limit(
    readings: list[int], batch: float
) -> None:
    limit = TemperatureLimit(80)
    for second, celsius in enumerate(readings):
        limit.observe(float(second), float(celsius), is_busy=second % 2 == 0)
        assert 0 <= limit.rest_needed(batch) < float("inf")
    if readings[-1] >= 80:
        assert limit.rest_needed(batch) > 0
