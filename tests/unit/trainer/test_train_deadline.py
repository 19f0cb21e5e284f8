"""A deadline is running time over all attempts; when it is over, a checkpoint is kept. Time is scripted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from interruptions import InterruptingReporter, Killed, ask_to_stop, checkpoints, stages
from workplaces import TRAINING, MakeWorkplace, Workplace, losses, trained

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.results import TrainResult
from finetune_trainer import prepare_training
from finetune_trainer.failures import DeadlineExceeded, StoppedError
from finetune_trainer.stopping import STOP
from finetune_trainer.train import step, training
from finetune_trainer.train.ledger import Ledger

pytestmark = pytest.mark.usefixtures("stop_request")

HOUR = 3600


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    scripted = Clock()
    monkeypatch.setattr(training, "Ledger", partial(Ledger, clock=scripted))
    return scripted


@pytest.fixture
def prepared(workplace: Workplace) -> Workplace:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    return workplace


def train(
    workplace: Workplace, deadline: int | None, happens: Callable[[], object], at: int = 5, stage: str = "training"
) -> TrainResult | None:
    """Something happens while a step of a stage is reported."""
    order = workplace.train_order(deadline_seconds=deadline)
    return step.run(order, InterruptingReporter(workplace, stage, at, happens))


def test_a_training_ends_with_a_checkpoint_when_its_time_is_over(prepared: Workplace, clock: Clock) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        train(prepared, HOUR, lambda: clock.passes(HOUR))
    failure = caught.value.to_failure()
    assert (caught.value.exit_code, failure.reason) == (ExitCode.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED)
    assert failure.message == (
        "the training has run for 1h0m over all its attempts, as long as spec.deadlineSeconds (3600) allows, and "
        "reached step 6 of 10; the checkpoint of step 6 is kept: raise spec.deadlineSeconds, and it goes on from there"
    )
    assert failure.deadline_seconds == HOUR
    assert checkpoints(prepared)[-1] == 6


def test_with_a_later_deadline_the_training_goes_on_from_its_checkpoint_as_if_nothing_had_happened(
    make_workplace: MakeWorkplace, clock: Clock
) -> None:
    whole, limited = make_workplace("whole"), make_workplace("limited")
    trained(whole)
    prepare_training.run(limited.prepare_order(), limited.reporter)
    with pytest.raises(DeadlineExceeded):
        train(limited, HOUR, lambda: clock.passes(HOUR))
    result = step.run(limited.train_order(deadline_seconds=2 * HOUR), limited.reporter)
    assert "training on from step 6" in stages(limited)
    assert losses(limited) == pytest.approx(losses(whole), abs=1e-6)
    assert result is not None
    assert float(result.training.hours) == 1.0
    assert result.training.failed_attempts_energy_kwh is None


def test_the_time_of_all_attempts_counts_and_not_that_between_them(prepared: Workplace, clock: Clock) -> None:
    def stops_after(seconds: float) -> None:
        clock.passes(seconds)
        ask_to_stop()

    with pytest.raises(StoppedError):
        train(prepared, HOUR, lambda: stops_after(2000), at=2)
    STOP.requested = False
    clock.passes(10 * HOUR)
    with pytest.raises(StoppedError):
        train(prepared, HOUR, lambda: stops_after(1500), at=4, stage="training on from step 3")
    STOP.requested = False
    with pytest.raises(DeadlineExceeded, match="reached step 7 of 10; the checkpoint of step 7 is kept"):
        train(prepared, HOUR, lambda: clock.passes(100), at=6, stage="training on from step 5")


def test_what_a_killed_attempt_learnt_in_vain_counts_and_no_further_step_is_taken(
    prepared: Workplace, clock: Clock
) -> None:
    def is_killed_late() -> None:
        clock.passes(HOUR)
        raise Killed

    with pytest.raises(Killed):
        train(prepared, HOUR, is_killed_late, at=6)
    with pytest.raises(DeadlineExceeded, match="reached step 4 of 10; the checkpoint of step 4 is kept"):
        step.run(prepared.train_order(deadline_seconds=HOUR), prepared.reporter)
    assert checkpoints(prepared)[-1] == 4


def test_a_time_that_is_over_while_the_model_is_loaded_ends_the_training_before_its_first_step(
    prepared: Workplace, clock: Clock
) -> None:
    with pytest.raises(DeadlineExceeded, match="reached step 0 of 10; nothing had been learnt yet"):
        train(prepared, HOUR, lambda: clock.passes(HOUR), at=0, stage="loading the base model")


@pytest.mark.parametrize("at", [9, 10])
def test_a_training_that_has_taken_its_last_step_is_finished_though_its_time_is_over(
    prepared: Workplace, clock: Clock, at: int
) -> None:
    """Also when it is killed then: it has no further step to take."""
    result = train(prepared, HOUR, lambda: clock.passes(HOUR), at=at)
    assert result is not None
    assert result.training.steps == 10


def test_in_a_step_of_several_micro_batches_it_ends_after_the_next_one(prepared: Workplace, clock: Clock) -> None:
    small = TRAINING | {"micro_batch_size": 2}
    order = prepared.train_order(deadline_seconds=HOUR, training=small)
    reporter = InterruptingReporter(prepared, "training", 5, lambda: clock.passes(HOUR))
    with pytest.raises(DeadlineExceeded, match="the checkpoint of step 5 is kept"):
        step.run(order, reporter)


def test_a_training_without_a_deadline_runs_as_long_as_it_takes(prepared: Workplace, clock: Clock) -> None:
    assert train(prepared, None, lambda: clock.passes(1000 * HOUR)) is not None
