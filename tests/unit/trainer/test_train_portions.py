"""What is tried next when portions do not fit: smaller ones, down to what the plan allows, and the same steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.finetunejob import Training
from finetune_api.planning import TrainingPlan
from finetune_trainer.failures import UserError
from finetune_trainer.train.portions import Portions, halved, next_smaller, portions_for, remember


def portions(micro: int, accumulation: int, checkpointing: bool = False, pack_length: int | None = None) -> Portions:
    return Portions(
        micro_batch_size=micro,
        accumulation=accumulation,
        activation_checkpointing=checkpointing,
        pack_length=pack_length,
    )


@pytest.mark.parametrize(
    ("now", "longest", "smaller"),
    [
        (portions(8, 1), 100, portions(4, 2)),
        (portions(4, 2), 100, portions(2, 4)),
        (portions(6, 2), 100, portions(3, 4)),
        (portions(5, 3), 100, portions(1, 15)),
        (portions(8, 1, checkpointing=True), 100, portions(4, 2, checkpointing=True)),
        (portions(1, 8), 100, portions(1, 8, checkpointing=True)),
        (portions(1, 8, checkpointing=True), 100, None),
        (portions(1, 8, False, 2048), 100, portions(1, 8, True, 2048)),
        (portions(1, 8, True, 2048), 100, portions(1, 16, True, 1024)),
        (portions(1, 16, True, 1024), 512, portions(1, 32, True, 512)),
        (portions(1, 16, True, 1024), 513, None),
    ],
)
def test_what_is_tried_next(now: Portions, longest: int, smaller: Portions | None) -> None:
    assert next_smaller(now, longest) == smaller


some_portions = st.builds(
    portions, st.integers(1, 64), st.integers(1, 64), st.booleans(), st.none() | st.sampled_from([512, 1024, 8192])
)


@given(some_portions, st.integers(16, 9000))
def test_the_ladder_ends_and_no_step_loses_examples_or_tokens(start: Portions, longest: int) -> None:
    rungs = [start]
    while (smaller := next_smaller(rungs[-1], longest)) is not None:
        rungs.append(smaller)
    assert len(rungs) < 20
    for rung in rungs:
        assert rung.rows_per_step * (rung.pack_length or 1) == start.rows_per_step * (start.pack_length or 1)
        assert rung.pack_length == start.pack_length or (rung.pack_length or 0) >= longest
    assert rungs[-1].micro_batch_size == 1
    assert rungs[-1].activation_checkpointing


@given(some_portions, st.integers(16, 9000))
def test_what_was_found_to_fit_is_taken_again(start: Portions, longest: int) -> None:
    smaller = next_smaller(start, longest)
    if smaller is not None:
        assert start.within(smaller) == smaller


TRAINING = Training(effective_batch_size=8, sequence_length=2048)


def plan(**changes: object) -> TrainingPlan:
    fields = {
        "method": "lora",
        "quantization": "none",
        "precision": "float32",
        "micro_batch_size": 8,
        "gradient_accumulation": 1,
        "steps": 10,
        "steps_per_epoch": 5,
    }
    return TrainingPlan.model_validate(fields | changes)


def test_without_trouble_the_plan_is_followed(tmp_path: Path) -> None:
    assert portions_for(TRAINING, plan(), tmp_path) == portions(8, 1)
    checkpointing = plan(activation_checkpointing=True)
    assert portions_for(TRAINING, checkpointing, tmp_path) == portions(8, 1, checkpointing=True)
    packed = plan(packing=True, rows_per_step=2, micro_batch_size=1)
    assert portions_for(TRAINING, packed, tmp_path) == portions(1, 2, pack_length=2048)


def test_the_manifest_goes_before_the_plan(tmp_path: Path) -> None:
    pinned = TRAINING.model_copy(update={"micro_batch_size": 2})
    assert portions_for(pinned, plan(), tmp_path) == portions(2, 4)


def test_a_later_attempt_takes_no_more_than_an_earlier_one_found_to_fit(tmp_path: Path) -> None:
    remember(portions(2, 4, checkpointing=True), tmp_path)
    assert portions_for(TRAINING, plan(), tmp_path) == portions(2, 4, checkpointing=True)
    pinned = TRAINING.model_copy(update={"micro_batch_size": 1})
    assert portions_for(pinned, plan(), tmp_path) == portions(1, 8, checkpointing=True)


def test_a_file_that_cannot_be_read_costs_an_attempt_not_the_training(tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text("{")
    assert portions_for(TRAINING, plan(), tmp_path) == portions(8, 1)


@given(some_portions)
def test_on_request_only_the_micro_batch_gets_smaller(start: Portions) -> None:
    smaller = halved(start)
    if smaller is None:
        assert start.micro_batch_size == 1
    else:
        assert smaller.micro_batch_size <= start.micro_batch_size / 2
        assert start.within(smaller) == smaller
        assert smaller.rows_per_step == start.rows_per_step


def test_several_processes_share_a_step_evenly(tmp_path: Path) -> None:
    shared = portions_for(TRAINING, plan(), tmp_path, ranks=2)
    assert (shared.micro_batch_size, shared.accumulation, shared.share, shared.rows_per_step) == (4, 1, 4, 8)
    smaller = next_smaller(shared, 100)
    assert smaller is not None
    assert (smaller.micro_batch_size, smaller.accumulation, smaller.rows_per_step) == (2, 2, 8)
    remember(smaller, tmp_path)
    assert portions_for(TRAINING, plan(), tmp_path, ranks=2) == smaller


def test_what_fitted_on_two_gpus_is_no_more_on_four(tmp_path: Path) -> None:
    remember(portions_for(TRAINING, plan(micro_batch_size=1), tmp_path, ranks=2), tmp_path)
    on_four = portions_for(TRAINING, plan(), tmp_path, ranks=4)
    assert (on_four.micro_batch_size, on_four.accumulation, on_four.rows_per_step) == (1, 2, 8)


def test_a_step_that_cannot_be_shared_evenly_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"8 cannot be shared evenly by 3 GPUs.*make it a multiple of 3"):
        portions_for(TRAINING, plan(), tmp_path, ranks=3)
