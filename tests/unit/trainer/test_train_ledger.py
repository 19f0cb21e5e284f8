"""What a training took is counted over all attempts, and never guessed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from finetune_trainer.train import energy
from finetune_trainer.train.energy import EnergyMeter, NoMeter, meter_for
from finetune_trainer.train.ledger import Ledger


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeMeter(EnergyMeter):
    def __init__(self, joules: float | None) -> None:
        self._joules = joules

    def joules(self) -> float | None:
        return self._joules


def attempt(folder: Path, seconds: float, tokens: int, meter: EnergyMeter | NoMeter, memory: int = 100) -> Ledger:
    clock = Clock()
    with Ledger(folder, clock) as ledger:
        ledger.measure(meter, lambda: memory)
        ledger.learnt(tokens, seconds / 2)
        clock.now = seconds
    return ledger


def test_hours_tokens_memory_and_energy_are_those_of_all_attempts(tmp_path: Path) -> None:
    attempt(tmp_path, 1800, 9000, FakeMeter(1.8e6), memory=500)
    ledger = attempt(tmp_path, 5400, 27000, FakeMeter(3.6e6), memory=300)
    assert ledger.hours == 2.0
    assert ledger.tokens_per_second == 10.0
    assert ledger.peak_memory_bytes == 500
    assert (ledger.energy_kilowatt_hours, ledger.energy_note) == (1.5, None)


def test_energy_that_was_not_measured_in_one_attempt_is_not_measured(tmp_path: Path) -> None:
    attempt(tmp_path, 10, 100, NoMeter("not measured: NVML Shared Library Not Found"))
    ledger = attempt(tmp_path, 10, 100, FakeMeter(5.0))
    assert (ledger.energy_kilowatt_hours, ledger.energy_note) == (None, "not measured in every attempt")


def test_an_attempt_that_learnt_nothing_does_not_spoil_the_energy(tmp_path: Path) -> None:
    attempt(tmp_path, 10, 0, NoMeter("not measured: no GPU"))
    assert attempt(tmp_path, 10, 100, FakeMeter(3.6e6)).energy_kilowatt_hours == 1.0


def test_without_a_gpu_the_note_says_so(tmp_path: Path) -> None:
    assert attempt(tmp_path, 10, 100, meter_for(None)).energy_note == "not measured: no GPU"


def test_an_attempt_is_counted_also_when_it_fails(tmp_path: Path) -> None:
    clock = Clock()
    with pytest.raises(KeyError), Ledger(tmp_path, clock) as ledger:
        clock.now = 3600.0
        raise KeyError
    assert attempt(tmp_path, 3600, 1, NoMeter("no")).hours == 2.0
    assert ledger.hours == 1.0


def test_a_ledger_that_cannot_be_read_costs_figures_not_the_training(tmp_path: Path) -> None:
    (tmp_path / "attempts.json").write_text("{")
    assert attempt(tmp_path, 3600, 1, NoMeter("no")).hours == 1.0


def test_the_meter_reads_the_counter_of_the_gpu_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = {"0000:3b:00.0": [1_000_000, 4_600_000]}
    fake = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByPciBusId=lambda bus_id: bus_id,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: counters[handle].pop(0),
    )
    monkeypatch.setattr(energy, "pynvml", fake)
    meter = meter_for("0000:3b:00.0")
    assert meter.joules() == 3600.0


def test_a_gpu_without_a_counter_is_told_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_handle: str) -> int:
        raise RuntimeError("Not Supported")

    fake = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByPciBusId=lambda bus_id: bus_id,
        nvmlDeviceGetTotalEnergyConsumption=unsupported,
    )
    monkeypatch.setattr(energy, "pynvml", fake)
    meter = meter_for("0000:3b:00.0")
    assert isinstance(meter, NoMeter)
    assert (meter.joules(), meter.note) == (None, "not measured: Not Supported")
