"""The guard in a real training, on the CPU: the scripted GPU is as busy as this process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pynvml
import pytest
from interruptions import InterruptingReporter, checkpoints, stages
from scripted_nvml import LIBRARY, ScriptedNvml
from workplaces import TRAINING, MakeWorkplace, Workplace, losses

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.guard import Guard, GuardAction
from finetune_api.results import TrainResult
from finetune_trainer import prepare_training
from finetune_trainer.failures import Overheated, StoppedError
from finetune_trainer.stopping import STOP
from finetune_trainer.train import step
from finetune_trainer.train.guard import controller
from finetune_trainer.train.portions import portions_for

CARD = "gpu name=NVIDIA_L40S ambient=25 resistance=0.25 tau=0.5 idle=50 busy=400 lag=0.05 used=123456"
"""Gets from 37 °C, at rest, to 125 °C, at work, within a second."""
COOL = Guard(max_temperature_celsius=120)
HOT = Guard(max_temperature_celsius=70)
SMALL_BATCHES = TRAINING | {"micro_batch_size": 2}
LONG = SMALL_BATCHES | {"epochs": 60, "checkpoint_every_steps": 1000}


@pytest.fixture(autouse=True)
def computes_on_a_test_device(monkeypatch: pytest.MonkeyPatch, stop_request: None) -> None:
    monkeypatch.setenv("FINETUNE_COMPUTE", "cpu")


def train(workplace: Workplace, guard: Guard | None, **training: int) -> TrainResult:
    settings = SMALL_BATCHES | training
    prepare_training.run(workplace.prepare_order(training=settings), workplace.reporter)
    return step.run(workplace.train_order(training=settings, gpus=1, guard=guard), workplace.reporter)


def test_a_training_within_its_limits_tells_energy_and_never_rests(workplace: Workplace, nvml: ScriptedNvml) -> None:
    """A card of a hundred times the power, since the summary tells four digits of kWh."""
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    nvml.start("load process", "gpu name=NVIDIA_L40S idle=5000 busy=40000 resistance=0.001 lag=0.05")
    summary = step.run(workplace.train_order(gpus=1, guard=COOL), workplace.reporter).training
    assert (summary.energy_note, summary.gpu_product) == (None, "NVIDIA L40S")
    assert summary.energy_kwh is not None
    assert float(summary.energy_kwh) * 3.6e6 == pytest.approx(nvml.joules(0), rel=0.1)
    assert summary.mean_watts is not None
    assert 5000 < float(summary.mean_watts) <= 40500
    assert summary.guard is not None
    assert (summary.guard.throttled_seconds, summary.guard.pauses) == ("0.0", 0)


class Thermometer:
    """Looks at the GPU while the block runs: how hot it got, and how long in one go it was above a limit."""

    def __init__(self, limit: float) -> None:
        self.highest = 0
        self.longest_excess = 0.0
        self._limit = limit
        self._above_since: float | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Thermometer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        while not self._is_over.wait(0.02):
            self._note(pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU), time.monotonic())

    def _note(self, celsius: int, now: float) -> None:
        self.highest = max(self.highest, celsius)
        if celsius <= self._limit:
            self._above_since = None
            return
        self._above_since = self._above_since or now
        self.longest_excess = max(self.longest_excess, now - self._above_since)


def test_a_hot_gpu_rests_between_micro_batches_and_the_limit_is_held(workplace: Workplace, nvml: ScriptedNvml) -> None:
    nvml.start("load process", CARD)
    with Thermometer(70) as free:
        train(workplace, None, epochs=8)
    shutil.rmtree(workplace.directory)
    nvml.start("load process", CARD)
    with Thermometer(70) as guarded:
        summary = train(workplace, HOT, epochs=8).training
    assert guarded.longest_excess < min(1.0, free.longest_excess)
    assert guarded.highest < free.highest
    assert summary.guard is not None
    assert float(summary.guard.throttled_seconds) > 0.2
    progress = [event for event in workplace.events if event.get("guard") == "Throttled"]
    assert progress[-1]["throttledSeconds"] > 0.2
    assert {"gpuWatts", "gpuCelsius", "gpuUtilization", "gpuJoules"} <= progress[-1].keys()


def test_the_guard_changes_nothing_that_is_learnt(
    workplace: Workplace, make_workplace: MakeWorkplace, nvml: ScriptedNvml
) -> None:
    nvml.start("load process", CARD)
    throttled = train(workplace, HOT).training
    other = make_workplace("free")
    assert train(other, None).training.adapter_digest == throttled.adapter_digest
    assert losses(other) == losses(workplace)


def test_a_stop_ends_a_rest(workplace: Workplace, nvml: ScriptedNvml) -> None:
    """A card that stays hot: without the stop the rest would take minutes. What the step that it came in had learnt is
    dropped."""
    prepare_training.run(workplace.prepare_order(training=SMALL_BATCHES, validation_fraction="0"), workplace.reporter)
    nvml.start("load process", CARD.replace("ambient=25", "ambient=80"))
    timer = threading.Timer(1.0, signal.raise_signal, [signal.SIGTERM])
    STOP.listen()

    def stop_soon() -> None:
        """A rest tells the step that it comes after again and again."""
        if timer.ident is None:
            timer.start()

    order = workplace.train_order(training=SMALL_BATCHES, gpus=1, guard=HOT)
    began = time.monotonic()
    with pytest.raises(StoppedError, match="the checkpoint of step 0 is saved"):
        step.run(order, InterruptingReporter(workplace, "training", 0, stop_soon))
    assert time.monotonic() - began < controller.HELPLESS_SECONDS / 4
    assert checkpoints(workplace) == [0]


def test_with_the_action_pause_a_hot_gpu_ends_the_attempt_with_a_checkpoint(
    workplace: Workplace, nvml: ScriptedNvml
) -> None:
    nvml.start("load process", CARD)
    with pytest.raises(Overheated, match=r"past its limit \(\d+ °C, limit 70 °C\); the checkpoint of step") as caught:
        train(workplace, HOT.model_copy(update={"action": GuardAction.PAUSE}))
    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.OVERHEATED, Reason.OVERHEATED)
    saved = checkpoints(workplace)[-1]
    nvml.start("load process", CARD)
    summary = train(workplace, COOL).training
    assert f"training on from step {saved}" in stages(workplace)
    assert summary.guard is not None
    assert summary.guard.pauses == 1
    assert summary.failed_attempts_energy_kwh is None


def test_where_resting_is_not_enough_the_next_attempt_takes_smaller_micro_batches(
    workplace: Workplace, nvml: ScriptedNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_trainer.train.guard.controller.PATIENCE_SECONDS", 1.0)
    nvml.start("load process", CARD.replace("ambient=25", "ambient=56"))
    with pytest.raises(Overheated, match=r"less than 10% of the time.*the next attempt takes 1 at once"):
        train(workplace, HOT)
    order = workplace.train_order(training=SMALL_BATCHES)
    prepared = step._find_prepared(workplace.directory)
    portions = portions_for(order.training, prepared.plan, workplace.directory / "checkpoints")
    assert (portions.micro_batch_size, portions.accumulation) == (1, 8)


def killed_once_something_was_written(workplace: Workplace, script: Path) -> float:
    """Trains in a process of its own until joules of it are on the volume, and kills it; returns these."""
    script.write_text(f"load process\n{CARD}\n")
    environment = os.environ | {
        "PYTHONPATH": ":".join(entry for entry in sys.path if entry),
        "LD_LIBRARY_PATH": str(LIBRARY.parent),
        "FINETUNE_SCRIPTED_NVML": str(script),
        "FINETUNE_ORDER": workplace.train_order(training=LONG, gpus=1, guard=HOT).to_json(),
    }
    command = [sys.executable, "-m", "finetune_trainer"]
    ledger = workplace.directory / "checkpoints" / "attempts.json"
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for _ in process.stdout:
            if ledger.exists():
                break
        process.kill()
    (attempt,) = json.loads(ledger.read_text())["attempts"]
    return float(sum(attempt["energy_joules"].values()))


def test_an_attempt_that_was_killed_counts_with_what_was_written(
    workplace: Workplace, nvml: ScriptedNvml, tmp_path: Path
) -> None:
    prepare_training.run(workplace.prepare_order(training=LONG), workplace.reporter)
    joules = killed_once_something_was_written(workplace, tmp_path / "script")
    assert joules > 200
    nvml.start("load process", CARD)
    summary = train(workplace, None).training
    assert summary.failed_attempts_energy_kwh == f"{joules / 3.6e6:.4f}"
    assert summary.energy_kwh is not None


def test_a_guard_without_a_gpu_says_that_it_guards_nothing(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    summary = step.run(workplace.train_order(guard=HOT), workplace.reporter).training
    assert workplace.problems == ["spec.guard: nothing is guarded: not measured: no GPU"]
    assert summary.energy_note == "not measured: no GPU"


def test_a_gpu_that_stops_answering_is_told_and_fails_nothing(workplace: Workplace, nvml: ScriptedNvml) -> None:
    nvml.start("load process", CARD, "at 0.5 gpu 0 lost=1")
    summary = train(workplace, HOT).training
    assert "GPU is lost" in workplace.problems[0]
    assert (summary.energy_kwh, summary.energy_note) == (None, "not measured: GPU is lost")
