"""What NVML tells is taken as it is; what it does not tell is nothing, and never an error."""

from __future__ import annotations

import threading

import pynvml
import pytest
from scripted_nvml import ScriptedNvml

from finetune_api.guard import Guard
from finetune_api.orders import GPU_SHARED_VARIABLE
from finetune_trainer.train.guard import gpus
from finetune_trainer.train.guard.opening import watch_gpus
from finetune_trainer.train.guard.watch import Watch

GUARD = Guard(max_temperature_celsius=70)


def test_a_gpu_tells_power_temperature_load_memory_and_energy(nvml: ScriptedNvml) -> None:
    nvml.start("clock virtual", "gpu idle=60 busy=360 lag=0 ambient=25.9 resistance=0.1 tau=10 used=1000000")
    (gpu,) = gpus.first(1)
    nvml.load(0, 0.5)
    nvml.advance(1000)
    reading = gpu.read(7.0)
    assert (reading.time, reading.watts, reading.utilization, reading.memory_bytes) == (7.0, 210.0, 0.5, 1_000_000)
    assert reading.celsius == 46  # 25.9 + 0.1 x 210 = 46.9, cut off
    assert reading.joules == pytest.approx(210_000)


def test_a_gpu_is_found_by_its_pci_address(nvml: ScriptedNvml) -> None:
    nvml.start("clock virtual", "gpu name=First", "gpu name=NVIDIA_L40S bus=00000000:3B:00.0")
    (gpu,) = gpus.by_bus(["00000000:3b:00.0"])
    assert (gpu.product, gpu.uuid) == ("NVIDIA L40S", "GPU-00000000-0000-0000-0000-000000000001")
    with pytest.raises(pynvml.NVMLError_NotFound):
        gpus.by_bus(["00000000:ff:00.0"])


def test_what_a_gpu_does_not_support_is_not_told(nvml: ScriptedNvml) -> None:
    nvml.start("clock virtual", "gpu power=0 energy=0 temperature=0")
    reading = gpus.first(1)[0].read(0.0)
    assert (reading.watts, reading.joules, reading.celsius, reading.error) == (None, None, None, None)
    assert reading.utilization == 0


def test_a_gpu_that_is_lost_says_so_and_nothing_else(nvml: ScriptedNvml) -> None:
    nvml.start("clock virtual", "gpu", "at 5 gpu 0 lost=1", "at 9 gpu 0 lost=0")
    (gpu,) = gpus.first(1)
    nvml.advance(6)
    assert (gpu.read(6.0).error, gpu.read(6.0).watts) == ("GPU is lost", None)
    nvml.advance(4)
    assert gpu.read(10.0).error is None


def test_the_vitals_are_those_of_all_gpus_and_of_the_hottest_and_fullest(nvml: ScriptedNvml) -> None:
    nvml.start("clock virtual", "gpu idle=60 ambient=30 resistance=0 used=3000", "gpu idle=40 used=5000 temperature=0")
    vitals = watch_gpus(2, (), None).vitals()
    assert (vitals.watts, vitals.celsius, vitals.memory_bytes) == (100, 30, 5000)


def test_where_no_gpu_answers_the_vitals_tell_nothing(nvml: ScriptedNvml) -> None:
    nvml.start("clock virtual", "gpu lost=1")
    vitals = watch_gpus(1, (), None).vitals()
    assert (vitals.watts, vitals.celsius, vitals.memory_bytes) == (None, None, None)


def energy_of(watch: Watch) -> tuple[float, str | None]:
    usage = watch.usage()
    return sum(usage.joules.values()), usage.energy_note


def test_energy_is_the_difference_of_each_gpus_counter(nvml: ScriptedNvml) -> None:
    nvml.start("clock virtual", "gpu idle=100 counter=5000", "gpu idle=200")
    watch = watch_gpus(2, (), None)
    nvml.advance(10)
    watch.look()
    assert list(watch.usage().joules.values()) == [1000, 2000]
    assert energy_of(watch) == (3000, None)


def test_a_counter_that_is_started_anew_costs_one_second_at_most(nvml: ScriptedNvml) -> None:
    nvml.start("clock virtual", "gpu idle=100 counter=1000000", "at 10 gpu 0 counter=0")
    watch = watch_gpus(1, (), None)
    for _ in range(20):
        nvml.advance(1)
        watch.look()
    assert energy_of(watch)[0] == pytest.approx(1900)


def test_energy_of_the_time_in_which_a_gpu_did_not_answer_is_counted_when_it_does(nvml: ScriptedNvml) -> None:
    nvml.start("clock virtual", "gpu idle=100", "at 10 gpu 0 lost=1", "at 20 gpu 0 lost=0")
    watch = watch_gpus(1, (), None)
    notes = []
    for _ in range(3):
        nvml.advance(9)
        watch.look()
        notes.append(energy_of(watch)[1])
    assert notes == [None, "not measured: GPU is lost", None]
    assert energy_of(watch)[0] == pytest.approx(2700)


@pytest.mark.parametrize(
    ("script", "note"),
    [
        ("gpu mig=1", "not attributable: the counter is that of the whole GPU, and this is a MIG slice of it"),
        ("gpu energy=0", "not measured: the GPU keeps no energy counter"),
    ],
)
def test_energy_that_is_not_the_trainings_own_has_no_figure(nvml: ScriptedNvml, script: str, note: str) -> None:
    nvml.start("clock virtual", script)
    watch = watch_gpus(1, (), None)
    nvml.advance(10)
    watch.look()
    assert watch.usage().energy_note == note
    assert watch.vitals().joules is None


def test_a_shared_gpus_energy_has_no_figure(nvml: ScriptedNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPU_SHARED_VARIABLE, "true")
    nvml.start("clock virtual", "gpu")
    assert watch_gpus(1, (), None).usage().energy_note == "not attributable: the GPU is shared with other work"


def test_without_gpus_there_is_nothing_to_watch(nvml: ScriptedNvml) -> None:
    nvml.start("clock virtual", "gpu")
    watch = watch_gpus(0, (), GUARD)
    assert (watch.is_guarding, watch.rest_needed(), watch.usage().energy_note) == (False, 0.0, "not measured: no GPU")


def test_a_gpu_without_nvml_is_told(nvml: ScriptedNvml) -> None:
    watch = watch_gpus(1, ("00000000:01:00.0",), GUARD)
    assert watch.usage().energy_note == "not measured: NVML Shared Library Not Found"
    assert not watch.is_guarding


def test_what_was_drawn_is_written_while_the_training_goes_on(nvml: ScriptedNvml) -> None:
    """On a clock of the test's own, which the thread's ten seconds are counted by."""
    nvml.start("clock virtual", "gpu idle=100")
    now, written = 0.0, []

    def clock() -> float:
        nonlocal now
        now += 4
        return now

    watch = Watch(gpus.first(1), None, clock=clock)
    done = threading.Event()

    def write() -> None:
        written.append(now)
        if len(written) == 1:
            raise OSError("the volume is full")
        done.set()

    with watch.running(write):
        assert done.wait(timeout=30)
    assert len(written) >= 2
