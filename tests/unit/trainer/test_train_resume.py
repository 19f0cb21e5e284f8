"""A training that was stopped goes on as if nothing had happened, from its last checkpoint that is whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from forms import DROPOUT, Form, Uninterrupted
from interruptions import (
    InterruptingReporter,
    ask_to_stop,
    checkpoints,
    checkpoints_folder,
    killed,
    manifest,
    stages,
    stopped,
)
from safetensors.torch import load_file, save_file
from workplaces import TRAINING, MakeWorkplace, Workplace, eps_rows, losses, prepared_with, trained

from finetune_api.conditions import Reason
from finetune_api.quantization import Precision
from finetune_trainer import prepare_training
from finetune_trainer.claims import CLAIM_FILE, Claim
from finetune_trainer.failures import InfrastructureError, StoppedError, UserError
from finetune_trainer.train import step

pytestmark = pytest.mark.usefixtures("stop_request")


@pytest.mark.parametrize(("form", "told_at"), [(Form.LORA, 2), (Form.LORA, 4), (Form.LORA, 7), (Form.NF4, 2)])
def test_a_resumed_training_takes_the_same_steps(
    workplace: Workplace, uninterrupted: Uninterrupted, form: Form, told_at: int
) -> None:
    """Told to stop in the first epoch, at its end, and in the second; the step that is going on is still finished."""
    whole, expected = uninterrupted(form)
    form.prepare(workplace)
    error = stopped(workplace, at=told_at, lora=DROPOUT)
    assert error.message.startswith(f"stopped as told after step {told_at + 1} of 10; the checkpoint of step")
    assert checkpoints(workplace)[-1] == told_at + 1
    resumed = step.run(workplace.train_order(lora=DROPOUT), workplace.reporter)
    assert losses(workplace) == pytest.approx(losses(whole), abs=1e-6)
    assert resumed.training.adapter_digest == expected.training.adapter_digest
    assert resumed.training.validation_loss == expected.training.validation_loss
    assert resumed.training.validation_loss_before == expected.training.validation_loss_before


@pytest.mark.parametrize("steps", [5, 6])
def test_a_stop_between_two_micro_batches_drops_them_and_draws_the_same_dropout_again(
    make_workplace: MakeWorkplace, steps: int
) -> None:
    """A step of a large model takes longer than a pod's grace period."""
    small = TRAINING | {"micro_batch_size": 2}
    whole, interrupted = make_workplace("whole"), make_workplace("interrupted")
    trained(whole, training=small, lora=DROPOUT)
    prepare_training.run(interrupted.prepare_order(training=small, lora=DROPOUT), interrupted.reporter)
    # Asked for while a step is reported: the next one's first micro-batch is still computed, the other three are not.
    # After step 5 that is the first of an epoch.
    error = stopped(interrupted, at=steps, training=small, lora=DROPOUT)
    assert f"after step {steps} of 10" in error.message
    step.run(interrupted.train_order(training=small, lora=DROPOUT), interrupted.reporter)
    assert losses(interrupted) == pytest.approx(losses(whole), abs=1e-6)


def test_the_time_of_all_attempts_counts(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace)
    ledger = checkpoints_folder(workplace) / "attempts.json"
    attempts = json.loads(ledger.read_text())
    assert attempts["attempts"][0]["tokens"] > 0
    attempts["attempts"][0]["seconds"] = 7200.0
    ledger.write_text(json.dumps(attempts))
    assert float(step.run(workplace.train_order(), workplace.reporter).training.hours) > 2.0


def test_three_stops_without_a_newer_checkpoint_fail_once_and_then_it_goes_on(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace, at=3)
    stopped(workplace, "loading the base model", 0)
    killed(workplace, "loading the base model", 0)
    stopped(workplace, "loading the base model", 0)
    with pytest.raises(InfrastructureError, match="more than step 4") as caught:
        step.run(workplace.train_order(), workplace.reporter)
    assert caught.value.reason == Reason.NO_PROGRESS
    assert step.run(workplace.train_order(), workplace.reporter).training.steps == 10


@pytest.mark.parametrize(
    ("stage", "at", "kept"),
    [
        ("loading the base model", 0, "nothing had been learnt yet"),
        ("validating the base model", 0, "nothing had been learnt yet"),
        ("validating", 0, "the checkpoint of step 10 is kept"),
    ],
)
def test_a_stop_at_another_moment_says_what_is_kept(workplace: Workplace, stage: str, at: int, kept: str) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    assert stopped(workplace, stage, at).message == f"stopped as told; {kept}"
    assert step.run(workplace.train_order(), workplace.reporter).training.steps == 10


def test_the_model_is_not_loaded_when_the_stop_came_before(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace, "starting", 0)
    assert "loading the base model" not in stages(workplace)


def test_a_stop_in_the_last_step_does_not_throw_the_training_away(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(validation_fraction="0"), workplace.reporter)
    reporter = InterruptingReporter(workplace, "training", 9, ask_to_stop)
    assert step.run(workplace.train_order(), reporter).training.steps == 10


# What a checkpoint must be


def test_a_checkpoint_says_whose_it_is_and_what_it_holds(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_POD_UID", "0b1c")
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace, at=5)
    written = manifest(workplace, 6)
    assert written["identity"].startswith("sha256:")
    assert (written["step"], written["podUid"], written["lrScale"]) == (6, "0b1c", 1.0)
    assert {"adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"} <= written["files"].keys()
    assert all(digest.startswith("sha256:") for digest in written["files"].values())


def test_a_pod_that_comes_back_writes_nothing_over_its_successors_work(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace, at=3)
    folder = workplace.directory / "checkpoints"

    def found() -> dict[str, bytes]:
        files = (*folder.glob("checkpoint-*/*"), folder / "attempts.json")
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    def succeed() -> None:
        Claim.take(folder / CLAIM_FILE)
        left.update(found())

    left: dict[str, bytes] = {}
    with pytest.raises(StoppedError, match="another pod has gone on"):
        reporter = InterruptingReporter(workplace, "training on from step 4", 5, succeed)
        step.run(workplace.train_order(), reporter)
    assert found() == left
    assert step.run(workplace.train_order(), workplace.reporter).training.steps == 10


def test_the_two_newest_checkpoints_are_kept(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace, stage="validating", at=0)
    assert checkpoints(workplace) == [8, 10]


def without_marker(checkpoint: Path) -> None:
    (checkpoint / "COMPLETE").unlink()


def with_cut_weights(checkpoint: Path) -> None:
    weights = checkpoint / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])


def with_a_flipped_bit(checkpoint: Path) -> None:
    weights = checkpoint / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def without_optimizer(checkpoint: Path) -> None:
    (checkpoint / "optimizer.pt").unlink()


def with_a_broken_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").write_text("{")


@pytest.mark.parametrize(
    "tear", [without_marker, with_cut_weights, with_a_flipped_bit, without_optimizer, with_a_broken_manifest]
)
def test_a_torn_checkpoint_is_skipped_and_the_one_before_is_used(
    workplace: Workplace, uninterrupted: Uninterrupted, tear: Callable[[Path], None]
) -> None:
    whole, _ = uninterrupted(Form.LORA)
    prepare_training.run(workplace.prepare_order(lora=DROPOUT), workplace.reporter)
    killed(workplace, at=9, lora=DROPOUT)
    assert checkpoints(workplace) == [4, 8]
    tear(checkpoints_folder(workplace) / "checkpoint-8")
    step.run(workplace.train_order(lora=DROPOUT), workplace.reporter)
    assert "training on from step 4" in stages(workplace)
    assert workplace.problems == ["checkpoint-8 is not whole: it was torn or changed, and is not used"]
    assert losses(workplace) == pytest.approx(losses(whole), abs=1e-6)


def test_a_checkpoint_of_another_training_is_not_gone_on_from(make_workplace: MakeWorkplace) -> None:
    workplace, other = make_workplace("workplace"), make_workplace("other")
    other.write_rows(eps_rows(44))
    for place in (workplace, other):
        prepare_training.run(place.prepare_order(), place.reporter)
    stopped(other)
    shutil.copytree(checkpoints_folder(other) / "checkpoint-6", checkpoints_folder(workplace) / "checkpoint-6")
    step.run(workplace.train_order(), workplace.reporter)
    assert "training on from step 6" not in stages(workplace)
    assert len(losses(workplace)) == 10
    (problem,) = workplace.problems
    assert problem.startswith("checkpoint-6 is another training's")


def test_a_checkpoint_of_another_base_model_is_not_gone_on_from(workplace: Workplace, own_model: Path) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace)
    weights = load_file(own_model / "model.safetensors")
    weights["model.norm.weight"] *= 1.5
    save_file(weights, own_model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="the base model's files changed after the training was prepared"):
        step.run(workplace.train_order(), workplace.reporter)
    assert checkpoints(workplace)[-1] == 6, "the checkpoint is as good as it was"
    shutil.rmtree(workplace.directory / "prepare")
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    step.run(workplace.train_order(), workplace.reporter)
    assert workplace.problems[0].startswith("checkpoint-6 is another training's (its dataset, base model or settings")
    assert not [stage for stage in stages(workplace) if stage.startswith("training on from")]


def test_a_checkpoint_of_another_precision_is_not_gone_on_from(workplace: Workplace) -> None:
    prepared_with(workplace, {"precision": Precision.BFLOAT16})
    stopped(workplace)
    shutil.rmtree(workplace.directory / "prepare")
    prepared_with(workplace, {"precision": Precision.FLOAT32})
    step.run(workplace.train_order(), workplace.reporter)
    assert workplace.problems[0].startswith("checkpoint-6 is another training's")
    assert not [stage for stage in stages(workplace) if stage.startswith("training on from")]


def test_a_checkpoint_of_other_settings_is_not_gone_on_from(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    stopped(workplace)
    changed = TRAINING | {"learning_rate": "1e-3"}
    prepare_training.run(workplace.prepare_order(training=changed), workplace.reporter)
    step.run(workplace.train_order(training=changed), workplace.reporter)
    assert "training on from step 6" not in stages(workplace)
