"""What befalls the second of two processes that train together, or both of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from scripted_nvml import ScriptedNvml

from finetune_trainer.train import completion_trainer
from finetune_trainer.train.completion_trainer import CompletionTrainer
from finetune_trainer.train.ledger import Ledger

_STEPS_TO_POISON = (6, 7, 8)


def _in_the_second(act: Callable[[CompletionTrainer], object], step: int) -> None:
    """Acts before a micro-batch of that step, the first step being 1."""
    original = CompletionTrainer.training_step

    def training_step(trainer: CompletionTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if trainer.state.global_step + 1 == step:
            act(trainer)
        return original(trainer, *args, **kwargs)

    if os.environ["RANK"] == "1":
        CompletionTrainer.training_step = training_step


def is_told_to_stop() -> None:
    _in_the_second(lambda _: os.kill(os.getpid(), signal.SIGTERM), step=6)


def is_killed() -> None:
    _in_the_second(lambda _: os.kill(os.getpid(), signal.SIGKILL), step=6)


def runs_out_of_time() -> None:
    """An hour passes at once."""
    original, hours_passed = Ledger.running_seconds, []

    def running_seconds(ledger: Ledger) -> float:
        return original(ledger) + 3600.0 * len(hours_passed)

    Ledger.running_seconds = running_seconds
    _in_the_second(lambda _: hours_passed.append(1), step=6)


def runs_out_of_memory() -> None:
    def refuse(trainer: CompletionTrainer) -> None:
        if trainer.args.per_device_train_batch_size > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    _in_the_second(refuse, step=6)


def computes_nonsense() -> None:
    """Until the training went back once: in three steps in a row its loss is no number."""
    original = CompletionTrainer.compute_loss

    def compute_loss(trainer: CompletionTrainer, *args: Any, **kwargs: Any) -> Any:
        loss = original(trainer, *args, **kwargs)
        is_bad = trainer.model.training and trainer.state.global_step + 1 in _STEPS_TO_POISON
        return loss * float("nan") if is_bad and trainer._course.rollbacks == 0 else loss

    if os.environ["RANK"] == "1":
        CompletionTrainer.compute_loss = compute_loss


def takes_the_loss_as_on_a_gpu() -> None:
    """No fault: trl's own loss, which no CPU takes by itself. Whoever took ours all the same would fail."""
    CompletionTrainer._is_on_cpu = property(lambda _: False)
    del completion_trainer.completion_loss


def shards_nothing() -> None:
    """As where a library falls back without a word."""
    from finetune_trainer.train import sharding

    sharding.fully_shard = lambda *args, **kwargs: None


def second_card_gets_hot(folder: str, *script: str) -> None:
    """The node's first process sees GPUs that follow a script; the other one's gets hot in the sixth step."""
    if os.environ["LOCAL_RANK"] != "0":
        return
    nvml = ScriptedNvml(Path(folder))
    nvml.start(*script)
    original = CompletionTrainer.training_step

    def training_step(trainer: CompletionTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = original(trainer, *args, **kwargs)
        if trainer.state.global_step + 1 == 6:
            nvml.load(1, 1.0)
            while nvml.celsius(1) < 100:
                time.sleep(0.01)
            nvml.load(1, 0.0)
        return loss

    CompletionTrainer.training_step = training_step
