"""Hours on scripted GPUs: the limits hold, and little time is lost beyond what the limits themselves cost."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from guarded_day import Day
from scripted_nvml import ScriptedNvml

from finetune_api.guard import Guard, GuardAction

GRACE_SECONDS = 5.0
LEAST_THROUGHPUT = 0.9
"""Of the duty cycle at which the model's mean temperature, or its mean power, is just the limit."""


@dataclass(frozen=True)
class Card:
    """A scripted GPU."""

    ambient: float = 25
    resistance: float = 0.25
    tau: float = 60
    idle: float = 50
    busy: float = 400
    lag: float = 0.2

    @property
    def script(self) -> str:
        return "gpu " + " ".join(f"{name}={value}" for name, value in vars(self).items())

    def duty_at_watts(self, watts: float) -> float:
        return (watts - self.idle) / (self.busy - self.idle)

    def duty_at_celsius(self, celsius: float) -> float:
        return self.duty_at_watts((celsius - self.ambient) / self.resistance)


@pytest.mark.parametrize("tau", [20, 60, 300])
@pytest.mark.parametrize("batch_seconds", [0.2, 1, 3])
@pytest.mark.parametrize(("limit", "ambient"), [(70, 25), (83, 35)])
def test_the_temperature_is_held_with_little_time_lost(
    nvml: ScriptedNvml, tau: float, batch_seconds: float, limit: int, ambient: float
) -> None:
    card = Card(tau=tau, ambient=ambient)
    day = Day(nvml, [card.script], Guard(max_temperature_celsius=limit), batch_seconds=batch_seconds).run(2)
    assert day.seen[0].longest_excess <= GRACE_SECONDS
    assert day.duty >= LEAST_THROUGHPUT * card.duty_at_celsius(limit)


@pytest.mark.parametrize(
    ("watts", "batch_seconds", "hours", "chosen"),
    [
        (150, 0.2, 0.5, []),
        (250, 0.2, 0.5, []),
        (350, 0.2, 0.5, []),
        (150, 1, 1.5, [4]),
        (250, 1, 0.5, []),
        (350, 1, 0.5, []),
        (150, 3, 1.5, [4, 2]),
        (250, 3, 0.5, []),
        (350, 3, 0.5, []),
    ],
)
def test_the_mean_power_is_held_with_little_time_lost(
    nvml: ScriptedNvml, watts: int, batch_seconds: float, hours: float, chosen: list[int]
) -> None:
    """Under a low limit micro-batches are halved for it; the time to load the model again counts."""
    card = Card()
    day = Day(nvml, [card.script], Guard(max_power_watts=watts), batch_seconds=batch_seconds)
    day.run(hours, micro_batch_size=8)
    assert [portions.micro_batch_size for portions in day.chosen] == chosen
    assert day.seen[0].highest_mean_watts <= watts
    assert day.duty >= LEAST_THROUGHPUT * card.duty_at_watts(watts)


def test_micro_batches_that_cannot_be_halved_hold_a_low_limit_at_the_cost_of_time(nvml: ScriptedNvml) -> None:
    card = Card()
    day = Day(nvml, [card.script], Guard(max_power_watts=150), batch_seconds=3).run(1)
    assert (day.chosen, day.seen[0].highest_mean_watts <= 150) == ([], True)
    assert 0.7 * card.duty_at_watts(150) <= day.duty < 0.78 * card.duty_at_watts(150)


def test_before_the_training_pauses_it_goes_on_with_smaller_micro_batches(nvml: ScriptedNvml) -> None:
    guard = Guard(max_temperature_celsius=70)
    day = Day(nvml, [Card().script, "at 1800 gpu 0 resistance=0.85"], guard, batch_seconds=1).run(2, micro_batch_size=4)
    assert [portions.micro_batch_size for portions in day.chosen] == [2, 1]
    assert day.paused is not None and "works less than 10% of the time" in day.paused


def test_a_day_with_a_warm_afternoon_and_a_cold_night(nvml: ScriptedNvml) -> None:
    card, steps = Card(tau=120), [(6, 30), (12, 36), (18, 28), (21, 22)]
    events = [f"at {hour * 3600} gpu 0 ambient={ambient}" for hour, ambient in steps]
    day = Day(nvml, [card.script, *events], Guard(max_temperature_celsius=75), batch_seconds=1).run(24)
    spells = [(6, 25), (6, 30), (6, 36), (3, 28), (3, 22)]
    best = sum(hours * Card(ambient=ambient).duty_at_celsius(75) for hours, ambient in spells) / 24
    assert day.seen[0].longest_excess <= GRACE_SECONDS
    assert day.duty >= LEAST_THROUGHPUT * best


def test_a_day_with_both_limits_of_which_the_lower_counts(nvml: ScriptedNvml) -> None:
    card = Card(tau=120)
    guard = Guard(max_temperature_celsius=80, max_power_watts=240)
    day = Day(nvml, [card.script], guard, batch_seconds=1).run(24)
    assert day.seen[0].longest_excess <= GRACE_SECONDS
    assert day.seen[0].highest_mean_watts <= 240
    assert day.duty >= LEAST_THROUGHPUT * min(card.duty_at_celsius(80), card.duty_at_watts(240))


def test_of_two_gpus_the_one_that_is_cooled_worse_sets_the_pace(nvml: ScriptedNvml) -> None:
    good, bad = Card(resistance=0.2, tau=60), Card(resistance=0.3, tau=90, ambient=28)
    day = Day(nvml, [good.script, bad.script], Guard(max_temperature_celsius=75), batch_seconds=1).run(3)
    assert max(seen.longest_excess for seen in day.seen) <= GRACE_SECONDS
    assert day.duty >= LEAST_THROUGHPUT * bad.duty_at_celsius(75)
    assert day.seen[0].highest < 75


def test_a_gpu_within_its_limits_never_rests(nvml: ScriptedNvml) -> None:
    card = Card(resistance=0.1)
    guard = Guard(max_temperature_celsius=70, max_power_watts=410)
    day = Day(nvml, [card.script], guard, batch_seconds=1).run(1)
    assert (day.duty, day.watch.rested_seconds) == (1.0, 0.0)


def test_a_limit_that_no_rest_keeps_ends_the_attempt(nvml: ScriptedNvml) -> None:
    """Before anything is begun there is nothing to finish, and no reason to keep the GPU for long."""
    day = Day(nvml, [Card(idle=100).script], Guard(max_power_watts=90), batch_seconds=1).run(1)
    assert day.given_up is not None
    assert "works less than 10% of the time, for 120 s now; nothing had been learnt yet" in day.given_up
    assert day.now < 180


def test_a_limit_that_no_rest_keeps_ends_the_attempt_within_a_step_later(nvml: ScriptedNvml) -> None:
    day = Day(nvml, [Card().script, "at 41 gpu 0 idle=100"], Guard(max_power_watts=90), batch_seconds=1).run(1)
    assert day.given_up is not None
    assert "did not bring a GPU within its limits; nothing had been learnt yet" in day.given_up
    assert 240 < day.now < 300


def test_a_pause_rests_neither_before_the_first_step_nor_after_the_last_one(nvml: ScriptedNvml) -> None:
    guard = Guard(max_temperature_celsius=70, action=GuardAction.PAUSE)
    hot = Day(nvml, ["gpu tau=300 celsius=90"], guard, batch_seconds=1).run(1)
    assert hot.given_up is not None and "past its limit" in hot.given_up
    assert hot.watch.rested_seconds == 0
    heating = Day(nvml, ["gpu resistance=0.4"], guard, batch_seconds=1).run(1, micro_batches_a_step=1)
    assert heating.paused is not None and "; the checkpoint of step" in heating.paused
    assert heating.watch.rested_seconds == 0


def test_a_fan_that_fails_ends_the_attempt_with_a_checkpoint(nvml: ScriptedNvml) -> None:
    """At rest the GPU still gets cool enough, but hardly."""
    broken = "at 1800 gpu 0 resistance=0.85"
    day = Day(nvml, [Card().script, broken], Guard(max_temperature_celsius=70), batch_seconds=1).run(2)
    assert day.paused is not None
    assert "works less than 10% of the time, for 120 s now; the checkpoint of step" in day.paused
    assert 1800 < day.now < 2400
    assert day.seen[0].highest < 80


def test_sensors_that_lag_cost_a_few_watts_once(nvml: ScriptedNvml) -> None:
    card = Card(lag=1)
    day = Day(nvml, [card.script], Guard(max_power_watts=250), batch_seconds=3).run(2)
    assert day.seen[0].highest_mean_watts <= 250 * 1.03
