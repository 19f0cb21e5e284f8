"""A volume that fills up while a checkpoint is written: the last good one stays, and the user is told what is full."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from interruptions import InterruptingReporter, checkpoints, checkpoints_folder, stages
from workplaces import MakeWorkplace, Workplace, losses, trained

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_trainer import prepare_training
from finetune_trainer.failures import InfrastructureError
from finetune_trainer.train import step

FULL = Path("/dev/full")
"""Every write to it fails for lack of space, as on a volume that is full."""


def no_space_for(workplace: Workplace, step: int, name: str) -> Callable[[], None]:
    """From here on one file of a step's checkpoint finds no space."""

    def fill_up() -> None:
        folder = checkpoints_folder(workplace) / ".unfinished" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / name).symlink_to(FULL)

    return fill_up


@pytest.mark.parametrize(
    ("name", "reason", "remedy"),
    [
        ("trainer_state.json", Reason.STORAGE_FULL, "Enlarge the claim of spec.artifacts"),
        # torch only says that a write failed, and the volume that it is on has space.
        ("optimizer.pt", Reason.STORAGE_FAILED, "check that the artifacts volume is mounted read-write"),
    ],
)
def test_the_last_good_checkpoint_is_left_and_gone_on_from(
    make_workplace: MakeWorkplace, name: str, reason: Reason, remedy: str
) -> None:
    whole, full = make_workplace("whole"), make_workplace("full")
    trained(whole)
    prepare_training.run(full.prepare_order(), full.reporter)
    reporter = InterruptingReporter(full, "training", 6, no_space_for(full, 8, name))
    with pytest.raises(InfrastructureError) as caught:
        step.run(full.train_order(), reporter)
    assert (caught.value.reason, caught.value.exit_code) == (reason, ExitCode.INFRASTRUCTURE)
    assert remedy in caught.value.message
    assert checkpoints(full) == [0, 4]
    assert not (checkpoints_folder(full) / ".unfinished").exists()
    step.run(full.train_order(), full.reporter)
    assert "training on from step 4" in stages(full)
    assert losses(full) == pytest.approx(losses(whole), abs=1e-6)
