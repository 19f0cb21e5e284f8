"""What a training took is counted over all attempts, and never guessed."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from finetune_trainer.failures import InfrastructureError, Overheated, StoppedError
from finetune_trainer.train.energy import NO_GPU, EnergyMeter
from finetune_trainer.train.guard.gpus import Reading
from finetune_trainer.train.ledger import Ledger
from finetune_trainer.train.usage import Usage

GPU = "GPU-1"
NONE = Usage(energy_note=NO_GPU)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def drawn(joules: float, **others: object) -> Usage:
    return Usage(joules={GPU: joules}, **others)  # type: ignore[arg-type]


def attempt(
    folder: Path, seconds: float, tokens: int, usage: Usage, memory: int = 100, error: Exception | None = None
) -> Ledger:
    clock = Clock()
    ledger = Ledger(folder, clock)
    with nullcontext() if error is None else pytest.raises(type(error)), ledger:
        ledger.measure(lambda: usage, lambda: memory)
        ledger.learnt(tokens, seconds / 2)
        clock.now = seconds
        if error is not None:
            raise error
    return ledger


def test_hours_tokens_memory_and_energy_are_those_of_all_attempts(tmp_path: Path) -> None:
    attempt(tmp_path, 1800, 9000, drawn(1.8e6), memory=500, error=StoppedError("stopped"))
    ledger = attempt(tmp_path, 5400, 27000, drawn(3.6e6), memory=300)
    assert ledger.hours == 2.0
    assert ledger.tokens_per_second == 10.0
    assert ledger.peak_memory_bytes == 500
    assert (ledger.energy_kilowatt_hours, ledger.energy_note) == (1.5, None)


@pytest.mark.parametrize(
    ("error", "counted", "failed"),
    [
        (StoppedError("stopped"), 3.0, None),
        (Overheated("paused"), 3.0, None),
        (InfrastructureError("StorageFailed", "the volume is away"), 1.0, 2.0),  # type: ignore[arg-type]
        (KeyError("a defect"), 1.0, 2.0),
    ],
)
def test_energy_of_attempts_that_failed_is_told_apart(
    tmp_path: Path, error: Exception, counted: float, failed: float | None
) -> None:
    attempt(tmp_path, 10, 100, drawn(7.2e6), error=error)
    ledger = attempt(tmp_path, 10, 100, drawn(3.6e6))
    assert (ledger.energy_kilowatt_hours, ledger.failed_kilowatt_hours) == (counted, failed)


def test_the_peak_memory_is_that_of_learning_and_not_of_what_follows(tmp_path: Path) -> None:
    taken = 300
    ledger = Ledger(tmp_path)
    with ledger:
        ledger.measure(lambda: NONE, lambda: taken)
        ledger.training_ends()
        taken = 900
    assert ledger.peak_memory_bytes == 300


def test_an_attempt_that_was_killed_has_failed_with_what_was_written_last(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.measure(lambda: drawn(7.2e6), lambda: 1)
    ledger.write()
    assert attempt(tmp_path, 10, 100, drawn(3.6e6)).failed_kilowatt_hours == 2.0


def test_energy_that_was_not_measured_in_one_attempt_is_not_measured(tmp_path: Path) -> None:
    lost = drawn(9.0, energy_note="not measured: GPU is lost")
    attempt(tmp_path, 10, 100, lost, error=StoppedError("stopped"))
    ledger = attempt(tmp_path, 10, 100, drawn(5.0))
    assert (ledger.energy_kilowatt_hours, ledger.energy_note) == (None, "not measured in every attempt")


def test_an_attempt_that_learnt_nothing_does_not_spoil_the_energy(tmp_path: Path) -> None:
    attempt(tmp_path, 10, 0, NONE, error=StoppedError("stopped"))
    assert attempt(tmp_path, 10, 100, drawn(3.6e6)).energy_kilowatt_hours == 1.0


def test_without_a_gpu_the_note_says_so(tmp_path: Path) -> None:
    ledger = attempt(tmp_path, 10, 100, NONE)
    assert (ledger.energy_kilowatt_hours, ledger.energy_note) == (None, "not measured: no GPU")
    assert (ledger.mean_watts, ledger.gpu_product) == (None, None)


def test_energy_that_others_drew_too_is_not_listed_for_failed_attempts_either(tmp_path: Path) -> None:
    shared = drawn(7.2e6, energy_note="not attributable: the GPU is shared with other work")
    attempt(tmp_path, 10, 100, shared, error=KeyError())
    assert attempt(tmp_path, 10, 100, drawn(3.6e6)).failed_kilowatt_hours is None


def test_mean_watts_are_those_of_learning_not_of_loading(tmp_path: Path) -> None:
    meter, clock = EnergyMeter(), Clock()
    with Ledger(tmp_path, clock) as ledger:
        ledger.measure(lambda: Usage(joules=dict(meter.joules)), lambda: 1)
        for joules in (0.0, 5000.0):  # loading
            meter.add({GPU: Reading(0.0, joules=joules)})
        ledger.training_begins()
        meter.add({GPU: Reading(10.0, joules=8000.0)})
        ledger.learnt(100, 10.0)
    assert ledger.mean_watts == 300.0


def test_speed_and_power_are_those_of_work_and_not_of_rests(tmp_path: Path) -> None:
    """A rest before the training, and one of 30 s at 50 W in it."""
    usage = drawn(1000.0, rested_seconds=5.0, rested_joules=250.0)
    with Ledger(tmp_path) as ledger:
        ledger.measure(lambda: usage, lambda: 1)
        ledger.training_begins()
        usage = drawn(6500.0, rested_seconds=35.0, rested_joules=1750.0)
        ledger.learnt(200, 40.0)
    assert (ledger.tokens_per_second, ledger.mean_watts) == (20.0, 400.0)
    assert ledger.guard_report().throttled_seconds == "35.0"


def test_a_training_that_begins_again_after_a_rollback_keeps_what_it_had_learnt(tmp_path: Path) -> None:
    """Of 1,600 J, 600 J were drawn while the model was loaded once more."""
    usage = drawn(0.0)
    with Ledger(tmp_path) as ledger:
        ledger.measure(lambda: usage, lambda: 1)
        ledger.training_begins()
        usage = drawn(500.0, rested_seconds=1.0)
        ledger.learnt(100, 6.0)
        usage = drawn(1100.0, rested_seconds=1.0)
        ledger.training_begins()
        usage = drawn(1600.0, rested_seconds=2.0)
        ledger.learnt(200, 12.0)
    assert (ledger.tokens_per_second, ledger.mean_watts) == (20.0, 100.0)


def test_what_the_guard_took_is_that_of_all_attempts(tmp_path: Path) -> None:
    first = drawn(1.0, rested_seconds=60.0, is_paused=True, highest_celsius=84.0, highest_mean_watts=300.0)
    attempt(tmp_path, 100, 10, first, error=Overheated("paused"))
    ledger = attempt(tmp_path, 100, 10, drawn(1.0, rested_seconds=30.5, highest_celsius=79.0))
    assert ledger.rested_seconds_before == 60.0
    report = ledger.guard_report()
    assert (report.throttled_seconds, report.pauses) == ("90.5", 1)
    assert (report.highest_temperature_celsius, report.highest_mean_watts) == ("84.0", "300.0")


def test_an_attempt_is_counted_also_when_it_fails(tmp_path: Path) -> None:
    ledger = attempt(tmp_path, 3600, 10, NONE, error=KeyError())
    assert attempt(tmp_path, 3600, 1, NONE).hours == 2.0
    assert ledger.hours == 1.0


def test_a_ledger_that_cannot_be_read_costs_figures_not_the_training(tmp_path: Path) -> None:
    (tmp_path / "attempts.json").write_text("{")
    assert attempt(tmp_path, 3600, 1, NONE).hours == 1.0
