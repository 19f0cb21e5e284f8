"""From the losses alone: what is noise, what is a bad batch, and what is a training that has come apart."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.train.loss_watch import (
    BAD_IN_A_ROW,
    LEAST_HISTORY,
    MOST_ROLLBACKS,
    WINDOW,
    LossWatch,
    StepLoss,
    Verdict,
)

CONTINUE, SKIP, ROLL_BACK, FAIL = Verdict.CONTINUE, Verdict.SKIP, Verdict.ROLL_BACK, Verdict.FAIL
CALM = [2.0 + 0.02 * (index % 5) for index in range(LEAST_HISTORY)]
"""Median 2.04, median absolute deviation 0.02: out of line is above 2.16."""
finite = st.floats(min_value=0, max_value=20)


def fed(losses: list[float | None], watch: LossWatch | None = None) -> list[Verdict]:
    watch = watch or LossWatch()
    return [watch.feed(StepLoss(step, loss)) for step, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("what", "losses", "expected"),
    [
        ("one that is not finite is left out", [None], [SKIP]),
        ("NaN and infinity are not finite", [math.nan, math.inf], [SKIP, SKIP]),
        ("three in a row are a divergence", [None, None, None], [SKIP, SKIP, ROLL_BACK]),
        ("a good one between them is not", [None, None, 2.0, None, None], [SKIP, SKIP, CONTINUE, SKIP, SKIP]),
        ("a spike that goes away is a bad batch", [9.0, 9.0, 2.0, 9.0], [CONTINUE] * 4),
        ("a spike that stays is a divergence", [9.0, 8.0, 7.0], [CONTINUE, CONTINUE, ROLL_BACK]),
        ("spikes and what is not finite count together", [9.0, None, 9.0], [CONTINUE, SKIP, ROLL_BACK]),
        ("just inside the usual scatter is none", [2.15, 2.15, 2.15], [CONTINUE] * 3),
        ("just outside is", [2.17, 2.17, 2.17], [CONTINUE, CONTINUE, ROLL_BACK]),
        ("falling fast is good", [1.0, 0.5, 0.1], [CONTINUE] * 3),
    ],
)
def test_after_a_calm_history(what: str, losses: list[float | None], expected: list[Verdict]) -> None:
    assert fed([*CALM, *losses])[len(CALM) :] == expected, what


@pytest.mark.parametrize(
    ("what", "losses", "verdict"),
    [
        ("four losses tell nothing yet", [*CALM[:4], 90.0], CONTINUE),
        ("more than twice the highest of five is out of line", [*CALM[:5], *[4.2] * 3], ROLL_BACK),
        ("just below is not", [*CALM[:5], *[4.1] * 3], CONTINUE),
        ("and so it is up to the twentieth", [*CALM[:-1], *[4.2] * 3], ROLL_BACK),
        ("one that trebles with each step", [2.0 * 3**step for step in range(8)], ROLL_BACK),
        ("a warm-up that begins with a peak", [3.0, 11.0, 8.0, 9.0, 6.0, *[12.0] * 3], CONTINUE),
        ("losses of nearly nothing may rise a little", [*[0.001] * 6, *[0.1] * 3], CONTINUE),
        ("but not by more than noise", [*[0.001] * 6, *[0.11] * 3], ROLL_BACK),
    ],
)
def test_after_a_short_history(what: str, losses: list[float | None], verdict: Verdict) -> None:
    assert fed(losses)[-1] is verdict, what


def test_a_warm_up_whose_losses_scatter_by_a_third_gives_no_false_alarm() -> None:
    drawn = Random(0)
    for _ in range(2000):
        falling = [8.0 * 0.9**step * drawn.lognormvariate(0, 0.33) for step in range(LEAST_HISTORY)]
        assert ROLL_BACK not in fed(list(falling))


def test_losses_that_hardly_scatter_may_rise_a_little() -> None:
    assert set(fed([0.01] * 40 + [0.1] * 5)) == {CONTINUE}
    assert fed([0.01] * 40 + [0.12] * 3)[-1] is ROLL_BACK


def test_a_spike_does_not_become_usual_by_coming_often() -> None:
    assert fed([*CALM, *[9.0, 9.0, 2.0] * 30, 9.0, 9.0, 9.0])[-1] is ROLL_BACK


def test_after_the_last_rollback_it_fails() -> None:
    assert fed([None, None, None], LossWatch(rollbacks=MOST_ROLLBACKS - 1))[-1] is ROLL_BACK
    assert fed([None, None, None], LossWatch(rollbacks=MOST_ROLLBACKS))[-1] is FAIL


OFTEN_LEFT_OUT: list[float | None] = [None, None, 2.0]


@pytest.mark.parametrize(
    ("what", "losses", "verdict"),
    [
        ("nineteen steps are too few to tell", [*OFTEN_LEFT_OUT * 6, None], SKIP),
        ("of twenty, over half may not be left out", [*OFTEN_LEFT_OUT * 6, None, None], ROLL_BACK),
        ("half may", [*[None, 2.0] * 30, None], SKIP),
        ("only the last fifty count: half of them", [*[2.0] * 60, *OFTEN_LEFT_OUT * 12, None], SKIP),
        ("and one more", [*[2.0] * 60, *OFTEN_LEFT_OUT * 12, None, None], ROLL_BACK),
    ],
)
def test_a_training_that_mostly_leaves_steps_out(what: str, losses: list[float | None], verdict: Verdict) -> None:
    assert fed(losses)[-1] is verdict, what


def test_what_was_left_out_before_a_rollback_does_not_count() -> None:
    history = [StepLoss(step, loss) for step, loss in enumerate(OFTEN_LEFT_OUT * 6, start=1)]
    for since, verdict in ((0, ROLL_BACK), (18, SKIP)):
        watch = LossWatch.after(history, rollbacks=1, since=since)
        watch.feed(StepLoss(19, None))
        assert watch.feed(StepLoss(20, None)) is verdict


def test_checkpoints_are_suspect_from_the_first_bad_step_on() -> None:
    watch = LossWatch()
    fed(CALM, watch)
    assert watch.suspect_since is None
    watch.feed(StepLoss(21, 9.0))
    watch.feed(StepLoss(22, None))
    assert watch.suspect_since == 21
    watch.feed(StepLoss(23, 2.0))
    assert watch.suspect_since is None


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([None] * 3, "loss or gradient was not finite in 3 steps in a row, from step 21"),
        (
            [9.0, None, 8.0],
            "the loss has left its usual range (median 2.040) since step 21: 9.000, not finite, 8.000",
        ),
        ([*OFTEN_LEFT_OUT * 14, None], "loss or gradient was not finite in 29 of the last 50 steps"),
    ],
)
def test_it_says_what_was_bad(losses: list[float | None], words: str) -> None:
    watch = LossWatch()
    fed([*CALM, *losses], watch)
    assert watch.describe() == words


@given(st.lists(st.one_of(finite, st.none()), max_size=120), st.integers(0, 119))
def test_a_watch_that_is_made_anew_from_the_history_judges_the_same(losses: list[float | None], cut: int) -> None:
    entries = [StepLoss(step, loss) for step, loss in enumerate(losses, start=1)]
    watch, again = LossWatch.after(entries, 0), LossWatch.after(entries[:cut], 0)
    for entry in entries[cut:]:
        again.feed(entry)
    assert (watch.suspect_since, watch.feed(StepLoss(200, 5.0))) == (
        again.suspect_since,
        again.feed(StepLoss(200, 5.0)),
    )


@given(st.lists(st.one_of(finite, st.none()), max_size=120))
def test_nothing_rolls_back_that_was_not_bad_three_times_in_a_row_or_mostly(losses: list[float | None]) -> None:
    watch = LossWatch()
    for step, loss in enumerate(losses, start=1):
        verdict = watch.feed(StepLoss(step, loss))
        since, last = watch.suspect_since, losses[max(0, step - WINDOW) : step]
        is_mostly_left_out = len(last) >= LEAST_HISTORY and last.count(None) > len(last) / 2
        is_bad = since is not None and (step - since + 1 >= BAD_IN_A_ROW or is_mostly_left_out)
        assert (verdict is ROLL_BACK) == is_bad
        assert loss is not None or verdict is not CONTINUE


@given(st.lists(finite, min_size=1, max_size=120))
def test_a_loss_that_only_falls_is_never_suspect(losses: list[float]) -> None:
    assert set(fed(sorted(losses, reverse=True))) == {CONTINUE}
