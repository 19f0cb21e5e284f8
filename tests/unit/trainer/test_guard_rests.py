"""Rests end at once when the process is told to stop, and are the same for all processes of a training."""

from __future__ import annotations

import threading
from io import StringIO

import pytest
from guarded_day import Day
from interruptions import ask_to_stop
from scripted_nvml import ScriptedNvml
from transformers import TrainerControl, TrainerState, TrainingArguments

from finetune_api.guard import Guard
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.train.guard import gpus
from finetune_trainer.train.guard.callback import GuardTraining
from finetune_trainer.train.guard.gpus import Gpu
from finetune_trainer.train.guard.watch import Watch
from finetune_trainer.train.portions import Portions

GUARD = Guard(max_temperature_celsius=70)
pytestmark = pytest.mark.usefixtures("stop_request")


def test_a_stop_ends_a_rest_within_a_tenth_of_a_second(nvml: ScriptedNvml) -> None:
    day = Day(nvml, ["gpu tau=300 celsius=90"], GUARD, batch_seconds=1)
    day.time.at(50.02, ask_to_stop)
    day.run(1, micro_batches_a_step=1)
    assert day.watch.rested_seconds > 5
    # The step that was begun is finished, and nothing rests any more.
    assert day.now <= 50.02 + 0.1 + 1


class Meeting:
    """What `agree` is among threads: each says a value, and all hear the largest."""

    def __init__(self, size: int) -> None:
        self._values: list[float] = []
        self._barrier = threading.Barrier(size, timeout=30)
        self._lock = threading.Lock()

    def agree(self, value: float) -> float:
        with self._lock:
            self._values.append(value)
        self._barrier.wait()
        largest = max(self._values)
        if self._barrier.wait() == 0:
            self._values.clear()
        self._barrier.wait()
        return largest


class Rank(threading.Thread):
    """One process of a training, with a GPU of its own."""

    def __init__(self, gpu: Gpu, meeting: Meeting) -> None:
        super().__init__()
        self.watch = Watch([gpu], GUARD)
        self._guard = GuardTraining(
            self.watch,
            GUARD,
            Reporter(StringIO()),
            settle=lambda: None,
            portions=Portions(micro_batch_size=1, accumulation=1),
            remember=lambda smaller: None,
            what_is_kept=lambda: "",
            agree=meeting.agree,
        )

    def run(self) -> None:
        self._guard.on_train_begin(
            TrainingArguments(output_dir="/tmp", use_cpu=True), TrainerState(max_steps=9), TrainerControl()
        )


def ranks(nvml: ScriptedNvml, *scripts: str) -> list[Rank]:
    nvml.start(*scripts)
    meeting = Meeting(len(scripts))
    return [Rank(gpu, meeting) for gpu in gpus.first(len(scripts))]


def test_all_processes_rest_as_long_as_the_hottest_gpu_needs(nvml: ScriptedNvml) -> None:
    hot, cool = ranks(nvml, "gpu tau=1 celsius=80", "gpu tau=1")
    for rank in (hot, cool):
        rank.start()
    for rank in (hot, cool):
        rank.join(timeout=30)
    assert cool.watch.rest_needed() == 0
    assert hot.watch.rested_seconds > 0.1
    assert cool.watch.rested_seconds == pytest.approx(hot.watch.rested_seconds, abs=0.2)


def test_a_stop_of_one_process_ends_the_rest_of_all(nvml: ScriptedNvml) -> None:
    both = ranks(nvml, "gpu ambient=90", "gpu")
    for rank in both:
        rank.start()
    STOP.requested = True
    for rank in both:
        rank.join(timeout=30)
        assert not rank.is_alive()
