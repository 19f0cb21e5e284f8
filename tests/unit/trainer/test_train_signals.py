"""SIGTERM and SIGKILL, as a pod gets them: nothing that was in a checkpoint is lost, whenever it comes."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest
from forms import Form, Uninterrupted
from interruptions import Event, checkpoints, is_training, signalled, stages, start
from workplaces import TRAINING, Workplace, losses

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.results import Failure, parse_result
from finetune_trainer import prepare_training
from finetune_trainer.train import step

LONG = TRAINING | {"epochs": 12, "checkpoint_every_steps": 1000}
STEPS = 60

KILL_WHILE_WRITING = """
import os, signal
from finetune_trainer.train.completion_trainer import CompletionTrainer

def save_scaler(trainer, folder):
    if trainer.state.global_step == 8:
        os.kill(os.getpid(), signal.SIGKILL)

CompletionTrainer._save_scaler = save_scaler
"""
"""The scaler comes between the optimizer and the random state; on a CPU there is none."""

ALL_PROGRESS = """
from finetune_trainer import reporting
reporting.Reporter.__init__.__kwdefaults__["interval"] = 0.0
"""
"""Every step is told, not one in five seconds."""

LOADS_LONG = """
import time
from finetune_trainer.train import setup

def load(*args, **kwargs):
    time.sleep(600)

setup.load_base_model = load
"""


def is_starting(event: Event) -> bool:
    return event.get("stage") == "starting"


def is_loading(event: Event) -> bool:
    return event.get("stage") == "loading the base model"


def failure_in(log: Path) -> Failure:
    failure = parse_result(log.read_text())
    assert isinstance(failure, Failure)
    return failure


@pytest.fixture
def prepared(workplace: Workplace) -> Workplace:
    prepare_training.run(workplace.prepare_order(training=LONG), workplace.reporter)
    return workplace


def test_a_preempted_training_leaves_a_checkpoint_and_goes_on_from_it(prepared: Workplace, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    process = start(prepared, log, training=LONG)
    assert signalled(process, signal.SIGTERM, is_training) == ExitCode.STOPPED
    failure = failure_in(log)
    assert failure.reason is Reason.PREEMPTED
    saved = checkpoints(prepared)[-1]
    assert 0 < saved < STEPS
    assert f"the checkpoint of step {saved} is saved" in failure.message

    result = step.run(prepared.train_order(training=LONG), prepared.reporter)
    assert result.training.steps == STEPS
    assert f"training on from step {saved}" in stages(prepared)


def test_a_stop_while_the_libraries_load_is_not_lost(prepared: Workplace, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    process = start(prepared, log, training=LONG)
    assert signalled(process, signal.SIGTERM, is_starting) == ExitCode.STOPPED
    assert failure_in(log).message == "stopped as told; what was finished is kept"
    assert not (prepared.directory / "train").exists()
    assert checkpoints(prepared) == []


def test_a_stop_does_not_wait_for_a_model_that_loads_for_minutes(prepared: Workplace, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    process = start(prepared, log, before=LOADS_LONG, training=LONG)
    assert signalled(process, signal.SIGTERM, is_loading) == ExitCode.STOPPED
    assert failure_in(log).message == "stopped as told; nothing had been learnt yet"


@pytest.mark.parametrize(("form", "kill_at"), [(Form.LORA, 6), (Form.PACKED, 3), (Form.NF4, 6)])
def test_after_a_kill_the_training_goes_on_from_the_last_interval_with_the_same_losses(
    workplace: Workplace, uninterrupted: Uninterrupted, tmp_path: Path, form: Form, kill_at: int
) -> None:
    whole, expected = uninterrupted(form)
    form.prepare(workplace)
    process = start(workplace, tmp_path / "log", before=ALL_PROGRESS, **form.settings)
    assert signalled(process, signal.SIGKILL, partial(is_training, at_least=kill_at)) == -signal.SIGKILL
    last = checkpoints(workplace)[-1]
    assert kill_at - form.settings["training"]["checkpoint_every_steps"] < last < expected.training.steps
    resumed = step.run(workplace.train_order(**form.settings), workplace.reporter)
    assert f"training on from step {last}" in stages(workplace)
    assert losses(workplace) == pytest.approx(losses(whole), abs=1e-6)
    assert resumed.training.adapter_digest == expected.training.adapter_digest


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    workplace: Workplace, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    whole, _ = uninterrupted(Form.LORA)
    Form.LORA.prepare(workplace)
    with start(workplace, tmp_path / "log", before=KILL_WHILE_WRITING, **Form.LORA.settings) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert checkpoints(workplace) == [0, 4]
    (torn,) = (workplace.directory / "checkpoints").glob(".unfinished-*/checkpoint-8")
    assert (torn / "optimizer.pt").exists()
    assert not (torn / "rng_state.pth").exists()
    step.run(workplace.train_order(**Form.LORA.settings), workplace.reporter)
    assert "training on from step 4" in stages(workplace)
    assert losses(workplace) == pytest.approx(losses(whole), abs=1e-6)
