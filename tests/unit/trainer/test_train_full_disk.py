"""A volume that fills up while a training writes: the last good checkpoint stays, and the user is told what is full."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from in_image import SMALL_VOLUME
from interruptions import InterruptingReporter, checkpoints, checkpoints_folder, stages
from workplaces import MakeWorkplace, Workplace, eps_rows, losses, trained

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_trainer import prepare_training
from finetune_trainer.failures import InfrastructureError
from finetune_trainer.storage_errors import as_storage_failure
from finetune_trainer.train import step
from finetune_trainer.train.tracking.curves import Curves
from finetune_trainer.train.tracking.points import RunDescription

PAGE = 4096
WEIGHTS, OPTIMIZER = "adapter_model.safetensors", "optimizer.pt"


@pytest.fixture
def small(tiny_model: Path) -> Iterator[Workplace]:
    """A workplace on a volume of a few MiB, which is one for all processes that run tests."""
    with (SMALL_VOLUME / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = Workplace(SMALL_VOLUME / "workplace", tiny_model)
        place.write_rows(eps_rows(40))
        prepare_training.run(place.prepare_order(), place.reporter)
        yield place
        shutil.rmtree(place.root)


def pages(path: Path) -> int:
    return -(-path.stat().st_size // PAGE)


def half_of(name: str, checkpoint: Path) -> int:
    """Pages for what the Trainer writes of a checkpoint before a file, and for half of that file."""
    file = checkpoint / name
    earlier = [path for path in checkpoint.iterdir() if path.stat().st_mtime_ns < file.stat().st_mtime_ns]
    return sum(map(pages, earlier)) + pages(file) // 2


def ballast(workplace: Workplace) -> Path:
    return workplace.root / "somebody else's"


def fill_up(workplace: Workplace, name: str) -> Callable[[], None]:
    """Leaves room for a part of the next checkpoint."""

    def fill() -> None:
        last = checkpoints_folder(workplace) / f"checkpoint-{checkpoints(workplace)[-1]}"
        room = half_of(name, last) * PAGE
        ballast(workplace).write_bytes(bytes(shutil.disk_usage(SMALL_VOLUME).free - room))

    return fill


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER])
def test_the_last_good_checkpoint_is_left_and_gone_on_from(
    make_workplace: MakeWorkplace, small: Workplace, name: str
) -> None:
    """safetensors and torch each say in words of their own that there is no space."""
    whole = make_workplace("whole")
    trained(whole)
    with pytest.raises(InfrastructureError) as caught:
        step.run(small.train_order(), InterruptingReporter(small, "training", 7, fill_up(small, name)))
    assert (caught.value.reason, caught.value.exit_code) == (Reason.STORAGE_FULL, ExitCode.INFRASTRUCTURE)
    assert f"the artifacts volume (mounted at {SMALL_VOLUME}) is full" in caught.value.message
    assert "Enlarge the claim of spec.artifacts" in caught.value.message
    assert checkpoints(small) == [0, 4]
    assert not list(checkpoints_folder(small).glob(".unfinished*"))
    ballast(small).unlink()
    step.run(small.train_order(), small.reporter)
    assert "training on from step 4" in stages(small)
    assert losses(small) == pytest.approx(losses(whole), abs=1e-6)


def test_an_adapter_that_cannot_be_written_costs_no_step(small: Workplace) -> None:
    with pytest.raises(Exception, match="No space left on device") as caught:
        step.run(small.train_order(), InterruptingReporter(small, "writing the adapter", 0, fill_up(small, WEIGHTS)))
    failure = as_storage_failure(caught.value, small.directory)
    assert failure is not None
    assert failure.reason is Reason.STORAGE_FULL
    assert sorted(path.name for path in small.directory.iterdir() if path.name != "tensorboard") == [
        "checkpoints",
        "prepare",
    ]
    ballast(small).unlink()
    step.run(small.train_order(), small.reporter)
    assert stages(small).count("training") == 1, "no step is taken anew"
    assert len(losses(small)) == 10


def test_curves_that_find_no_room_end_there_and_hold_nothing_up(small: Workplace) -> None:
    with Curves(small.directory, RunDescription("key", "name", {}), None, small.reporter) as curves:
        curves.begin(after_step=0)
        fill_up_wholly(small)
        for number in range(1, 2000):
            curves.add(number, {"loss": 1.0, "learning_rate": 1.0})
        curves.begin(after_step=4)
    (problem,) = set(small.problems)
    assert problem == "TensorBoard's files cannot be written, and end here: No space left on device"


def fill_up_wholly(workplace: Workplace) -> None:
    ballast(workplace).write_bytes(bytes(shutil.disk_usage(SMALL_VOLUME).free))
