"""The guard in a real training, on the CPU. The GPU is scripted, and so is the time: it passes when a micro-batch is
done and when the guard rests, however busy this machine is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from interruptions import checkpoints, stages
from scripted_nvml import LIBRARY, ScriptedNvml
from scripted_time import ScriptedTime
from workplaces import TRAINING, MakeWorkplace, Workplace, losses

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.guard import Guard, GuardAction
from finetune_api.quantization import Precision
from finetune_api.results import TrainResult
from finetune_trainer import prepare_training
from finetune_trainer.failures import Overheated, StoppedError
from finetune_trainer.stopping import STOP
from finetune_trainer.train import learning, setup, step
from finetune_trainer.train.callbacks import ReportProgress
from finetune_trainer.train.devices import Device
from finetune_trainer.train.guard import opening, watch
from finetune_trainer.train.guard.callback import GuardTraining
from finetune_trainer.train.guard.watch import Watch
from finetune_trainer.train.portions import portions_for

LIMIT = 70
MICRO_BATCH_SECONDS = 2.0
CARD = "gpu name=NVIDIA_L40S ambient=25 resistance=0.2 tau=60 idle=50 busy=400 lag=0.2 used=123456"
"""35 °C at rest, 105 °C at work; at 70 °C it may work half of the time."""
BEST_DUTY = 0.5
COOL = Guard(max_temperature_celsius=120)
HOT = Guard(max_temperature_celsius=LIMIT)
SMALL_BATCHES = TRAINING | {"micro_batch_size": 2}
LONG = SMALL_BATCHES | {"epochs": 60, "checkpoint_every_steps": 1000}


@pytest.fixture(autouse=True)
def computes_on_a_test_device(monkeypatch: pytest.MonkeyPatch, stop_request: None) -> None:
    monkeypatch.setenv("FINETUNE_COMPUTE", "cpu")


StartCard = Callable[[str], ScriptedTime]


@pytest.fixture
def start_card(monkeypatch: pytest.MonkeyPatch, nvml: ScriptedNvml) -> StartCard:
    """Puts a GPU by its script into the machine, on which every micro-batch takes two seconds of scripted time."""

    def start(script: str) -> ScriptedTime:
        time = ScriptedTime(nvml, [script], LIMIT)

        def open_watch(*args: Any, **kwargs: Any) -> Watch:
            opened = Watch(*args, clock=time.clock, **kwargs)
            time.each_second = opened.look
            return opened

        monkeypatch.setattr(opening, "Watch", open_watch)
        # The thread that looks once a second would do so by the machine's clock.
        monkeypatch.setattr(watch, "LOOK_SECONDS", 3600.0)
        monkeypatch.setattr(learning, "ReportProgress", partial(ReportProgress, clock=time.clock))
        monkeypatch.setattr(setup, "GuardTraining", partial(GuardTraining, clock=time.clock, sleep=time.rest))
        monkeypatch.setattr(Device, "settle", lambda device: time.work(MICRO_BATCH_SECONDS))
        return time

    return start


def train(workplace: Workplace, guard: Guard | None, dropout: str = "0.05", **training: Any) -> TrainResult:
    settings: dict[str, Any] = {"training": SMALL_BATCHES | training, "lora": {"dropout": dropout}}
    prepare_training.run(workplace.prepare_order(**settings), workplace.reporter)
    return step.run(workplace.train_order(**settings, gpus=1, guard=guard), workplace.reporter)


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


def test_a_hot_gpu_rests_between_micro_batches_and_the_limit_is_held(
    make_workplace: MakeWorkplace, start_card: StartCard
) -> None:
    free = start_card(CARD)
    unlimited = train(make_workplace("free"), COOL, epochs=4).training
    assert free.seen[0].longest_excess > 60
    throttled, workplace = start_card(CARD), make_workplace("throttled")
    summary = train(workplace, HOT, epochs=4).training
    assert throttled.seen[0].longest_excess <= 5.0
    assert throttled.worked == free.worked
    rested = throttled.now - throttled.worked
    # It starts cold, so it may work more than that.
    assert throttled.worked / throttled.now >= 0.9 * BEST_DUTY
    assert summary.guard is not None
    assert float(summary.guard.throttled_seconds) == pytest.approx(rested, abs=0.1)
    assert summary.guard.highest_temperature_celsius == f"{int(throttled.seen[0].highest)}.0"
    assert float(summary.tokens_per_second) == pytest.approx(float(unlimited.tokens_per_second), rel=0.02)
    assert float(summary.mean_watts or "nan") == pytest.approx(float(unlimited.mean_watts or "nan"), rel=0.1)
    told = [event for event in workplace.events if event.get("guard") == "Throttled"]
    assert 0 < told[0]["throttledSeconds"] < told[-1]["throttledSeconds"] <= rested + 0.1
    assert {"gpuWatts", "gpuCelsius", "gpuUtilization", "gpuMemoryBytes", "gpuJoules"} <= told[-1].keys()


def test_the_guard_changes_nothing_that_is_learnt(make_workplace: MakeWorkplace, start_card: StartCard) -> None:
    start_card(CARD)
    throttled, free = make_workplace("throttled"), make_workplace("free")
    learnt = train(throttled, HOT).training
    assert learnt.guard is not None
    assert float(learnt.guard.throttled_seconds) > 10
    assert train(free, None).training.adapter_digest == learnt.adapter_digest
    assert losses(free) == losses(throttled)


def test_a_stop_ends_a_rest(workplace: Workplace, start_card: StartCard) -> None:
    """A GPU that stays hot: without the stop it would rest for minutes."""
    prepare_training.run(workplace.prepare_order(training=SMALL_BATCHES, validation_fraction="0"), workplace.reporter)
    time = start_card(CARD.replace("ambient=25", "ambient=80"))
    STOP.listen()
    time.at(100.0, partial(signal.raise_signal, signal.SIGTERM))
    with pytest.raises(StoppedError, match="the checkpoint of step 0 is saved"):
        step.run(workplace.train_order(training=SMALL_BATCHES, gpus=1, guard=HOT), workplace.reporter)
    # What the micro-batch that was begun then learns is dropped.
    assert time.now <= 100.0 + 0.1 + MICRO_BATCH_SECONDS
    assert checkpoints(workplace) == [0]


def test_with_the_action_pause_a_hot_gpu_ends_the_attempt_with_a_checkpoint(
    workplace: Workplace, start_card: StartCard
) -> None:
    hot = start_card(CARD)
    with pytest.raises(Overheated, match=r"past its limit \(70 °C, limit 70 °C\); the checkpoint of step") as caught:
        train(workplace, HOT.model_copy(update={"action": GuardAction.PAUSE}))
    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.OVERHEATED, Reason.OVERHEATED)
    assert hot.seen[0].longest_excess <= 5.0, "the step is finished with rests"
    saved = checkpoints(workplace)[-1]
    start_card(CARD)
    summary = train(workplace, COOL).training
    assert f"training on from step {saved}" in stages(workplace)
    assert summary.guard is not None
    assert summary.guard.pauses == 1
    assert summary.failed_attempts_energy_kwh is None


def test_where_resting_is_not_enough_smaller_micro_batches_are_taken_and_then_it_pauses(
    workplace: Workplace, start_card: StartCard
) -> None:
    """At 55 °C around it, it may work a fourteenth of the time."""
    start_card(CARD.replace("ambient=25", "ambient=55"))
    with pytest.raises(Overheated, match=r"less than 10% of the time, for 120 s now; the checkpoint of step"):
        train(workplace, HOT, epochs=8)
    assert any("the training goes on with 1 at once" in problem for problem in workplace.problems)
    (begun_again,) = [stage for stage in stages(workplace) if stage.startswith("training on from step")]
    assert 0 < int(begun_again.split()[-1]) < checkpoints(workplace)[-1]
    order = workplace.train_order(training=SMALL_BATCHES)
    prepared = step._find_prepared(workplace.directory)
    portions = portions_for(order.training, prepared.plan, workplace.directory / "checkpoints")
    assert (portions.micro_batch_size, portions.accumulation) == (1, 8)


def test_smaller_micro_batches_within_the_attempt_take_the_same_steps(
    make_workplace: MakeWorkplace, start_card: StartCard
) -> None:
    """Within 120 W two micro-batches of 2 s are held in 30 s, where the mean alone would allow nearly three."""
    start_card(CARD)
    free, held = make_workplace("free"), make_workplace("held")
    # In bfloat16, which some CPUs train in, two rows at once are rounded otherwise than one.
    train(free, None, dropout="0", precision=Precision.FLOAT32)
    start_card(CARD)
    train(held, Guard(max_power_watts=120), dropout="0", precision=Precision.FLOAT32)
    (problem,) = held.problems
    assert problem == "micro-batches are too long to use what the limit allows: the training goes on with 1 at once"
    assert [stage for stage in stages(held) if stage.startswith("training on from step")]
    assert losses(held) == pytest.approx(losses(free), abs=1e-5)


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
