"""Early stopping: which checkpoint is the best, when to stop, and that a kill forgets neither."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interruptions import checkpoints, checkpoints_folder, killed, poison, stages, stopped
from safetensors.torch import load_file
from workplaces import TRAINING, MakeWorkplace, Workplace, losses, trained

from finetune_api.conditions import Reason
from finetune_api.finetunejob import EarlyStopping
from finetune_trainer import prepare_training
from finetune_trainer.failures import UserError
from finetune_trainer.train import step
from finetune_trainer.train.early_stopping import best_step, is_over

pytestmark = pytest.mark.usefixtures("stop_request")

Losses = Mapping[int, float]


@pytest.mark.parametrize(
    ("losses", "patience", "least", "over"),
    [
        ({}, 1, "0", False),
        ({0: 1.0, 4: 2.0}, 1, "0", False),
        ({4: 2.0, 8: 2.0}, 1, "0", True),
        ({4: 2.0, 8: 1.9}, 1, "0", False),
        ({4: 2.0, 8: 2.1, 12: 2.2}, 3, "0", False),
        ({4: 2.0, 8: 2.1, 12: 2.2, 16: 2.3}, 3, "0", True),
        ({4: 2.0, 8: 2.1, 12: 1.9, 16: 2.3, 20: 2.2}, 3, "0", False),
        ({4: 2.0, 8: 1.95}, 1, "0.1", True),
        ({4: 2.0, 8: 1.95, 12: 1.89}, 2, "0.1", False),
    ],
)
def test_it_is_over_after_so_many_looks_without_improvement(
    losses: Losses, patience: int, least: str, over: bool
) -> None:
    assert is_over(losses, EarlyStopping(patience=patience, min_improvement=least)) is over


@pytest.mark.parametrize(
    ("losses", "best"),
    [({}, None), ({0: 0.5}, None), ({0: 0.5, 4: 2.0}, 4), ({4: 2.0, 8: 1.0, 12: 1.0, 16: 3.0}, 8)],
)
def test_the_best_is_the_first_of_the_lowest_and_never_the_base_model(losses: Losses, best: int | None) -> None:
    assert best_step(losses) == best


@given(st.dictionaries(st.integers(1, 1000), st.floats(0, 10), min_size=2), st.integers(1, 5), st.data())
def test_what_is_over_stays_over(losses: dict[int, float], patience: int, data: st.DataObject) -> None:
    rule = EarlyStopping(patience=patience)
    cut = data.draw(st.sampled_from(sorted(losses)))
    earlier = {step: loss for step, loss in losses.items() if step <= cut}
    assert is_over(losses, rule) or not is_over(earlier, rule)


# A real training, that gets worse on purpose after its sixth step

PATIENT = TRAINING | {"epochs": 4, "checkpoint_every_steps": 2, "early_stopping": {"patience": 2}}
"""20 steps; the validation loss is looked at after 2, 4, 6..."""
BEST = 6
WEIGHTS = "adapter_model.safetensors"


def unlearns(monkeypatch: pytest.MonkeyPatch) -> None:
    """From step 7 on it learns what is not so; by less than what looks like a divergence."""
    poison(monkeypatch, lambda trainer: trainer.state.global_step >= BEST, lambda loss: loss * -1)


def test_the_training_stops_and_the_best_checkpoint_is_the_result(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlearns(monkeypatch)
    summary = trained(workplace, training=PATIENT).training
    assert (summary.best_step, summary.stopped_early) == (BEST, True)
    assert summary.steps == len(losses(workplace)) == BEST + 4
    assert stages(workplace).count("validating") == 5


@pytest.mark.parametrize("at", [7, 9])
def test_a_kill_forgets_neither_the_best_nor_the_patience(
    make_workplace: MakeWorkplace, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    unlearns(monkeypatch)
    whole, interrupted = make_workplace("whole"), make_workplace("interrupted")
    expected = trained(whole, training=PATIENT).training
    prepare_training.run(interrupted.prepare_order(training=PATIENT), interrupted.reporter)
    killed(interrupted, at=at, training=PATIENT)
    assert BEST in checkpoints(interrupted)
    resumed = step.run(interrupted.train_order(training=PATIENT), interrupted.reporter).training
    assert resumed.adapter_digest == expected.adapter_digest
    assert (resumed.best_step, resumed.steps, resumed.stopped_early) == (BEST, BEST + 4, True)
    assert stages(interrupted).count("validating the base model") == 1


def test_a_kill_after_it_was_over_takes_no_further_step_and_the_best_weights_are_the_result(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlearns(monkeypatch)
    prepare_training.run(workplace.prepare_order(training=PATIENT), workplace.reporter)
    killed(workplace, "writing the adapter", 0, training=PATIENT)
    best = load_file(checkpoints_folder(workplace) / f"checkpoint-{BEST}" / WEIGHTS)
    summary = step.run(workplace.train_order(training=PATIENT), workplace.reporter).training
    assert (summary.best_step, summary.steps) == (BEST, BEST + 4)
    assert not [stage for stage in stages(workplace) if stage.startswith("training on")]
    written = load_file(workplace.directory / "train" / "adapter" / WEIGHTS)
    assert written.keys() == best.keys()
    assert all(torch.equal(written[name], best[name]) for name in best)


def test_a_stop_while_it_validates_is_answered_and_the_look_is_taken_later(
    make_workplace: MakeWorkplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlearns(monkeypatch)
    whole, interrupted = make_workplace("whole"), make_workplace("interrupted")
    expected = trained(whole, training=PATIENT).training
    prepare_training.run(interrupted.prepare_order(training=PATIENT), interrupted.reporter)
    message = stopped(interrupted, "validating", 0, training=PATIENT).message
    assert message == "stopped as told; the checkpoint of step 2 is kept"
    resumed = step.run(interrupted.train_order(training=PATIENT), interrupted.reporter).training
    assert (resumed.best_step, resumed.adapter_digest) == (BEST, expected.adapter_digest)


def test_looking_changes_nothing_about_the_steps(make_workplace: MakeWorkplace) -> None:
    looking, plain = make_workplace("looking"), make_workplace("plain")
    rule = {"checkpoint_every_steps": 2, "early_stopping": {"patience": 9}}
    trained(looking, training=TRAINING | rule, lora={"dropout": "0.1"})
    trained(plain, training=TRAINING, lora={"dropout": "0.1"})
    assert losses(looking) == losses(plain)


def test_without_held_out_examples_there_is_nothing_to_watch(workplace: Workplace) -> None:
    with pytest.raises(UserError, match=r"set spec\.dataset\.validationFraction above 0") as caught:
        trained(workplace, training=PATIENT, validation_fraction="0")
    assert caught.value.reason is Reason.ORDER_INVALID


# Before and after


def test_loss_and_perplexity_are_those_before_and_after(workplace: Workplace) -> None:
    summary = trained(workplace).training
    assert summary.validation_loss is not None
    assert summary.validation_loss_before is not None
    assert float(summary.validation_loss) < float(summary.validation_loss_before)
    for perplexity, loss in (
        (summary.perplexity, summary.validation_loss),
        (summary.perplexity_before, summary.validation_loss_before),
    ):
        assert float(perplexity or 0) == pytest.approx(math.exp(float(loss)), rel=1e-3)
    assert (summary.best_step, summary.stopped_early) == (None, False)


def test_the_base_model_is_validated_once(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    killed(workplace, at=2)
    summary = step.run(workplace.train_order(), workplace.reporter).training
    assert stages(workplace).count("validating the base model") == 1
    assert float(summary.validation_loss_before or 0) > float(summary.validation_loss or 0)


def test_nothing_held_out_means_no_validation_loss(workplace: Workplace) -> None:
    summary = trained(workplace, validation_fraction="0").training
    assert (summary.validation_loss, summary.validation_loss_before, summary.perplexity) == (None, None, None)
