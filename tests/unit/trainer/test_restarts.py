"""A step that is stopped again and again without getting further fails, and so is counted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_trainer.failures import InfrastructureError, StoppedError, UserError
from finetune_trainer.restarts import counted_restarts


class Killed(BaseException):
    """As if the node went away: nothing more is written."""


STOPPED = StoppedError("stopped")


def begin(folder: Path, progress: int, end: BaseException | None = STOPPED) -> None:
    with suppress(StoppedError, UserError, Killed), counted_restarts(folder / "restarts.json", progress, "step"):
        if end is not None:
            raise end


def is_refused(folder: Path, progress: int) -> bool:
    refusal = None
    try:
        begin(folder, progress)
    except InfrastructureError as error:
        refusal = error
    return refusal is not None and refusal.reason is Reason.NO_PROGRESS


@pytest.mark.parametrize("end", [STOPPED, Killed()])
def test_three_stops_or_kills_at_the_same_step_are_one_failure(tmp_path: Path, end: BaseException) -> None:
    for _ in range(3):
        begin(tmp_path, 40, end)
    with pytest.raises(InfrastructureError, match="more than step 40") as caught:
        begin(tmp_path, 40)
    assert (caught.value.reason, caught.value.exit_code) == (Reason.NO_PROGRESS, ExitCode.INFRASTRUCTURE)


def test_after_that_failure_it_is_counted_anew(tmp_path: Path) -> None:
    for _ in range(3):
        begin(tmp_path, 40)
    assert [is_refused(tmp_path, 40) for _ in range(5)] == [True, False, False, False, True]


def test_what_got_further_each_time_is_never_refused(tmp_path: Path) -> None:
    assert not any(is_refused(tmp_path, progress) for progress in range(20))


def test_a_checkpoint_that_turned_out_to_be_damaged_is_no_progress(tmp_path: Path) -> None:
    for progress in (40, 30, 30):
        begin(tmp_path, progress)
    assert is_refused(tmp_path, 30)


@pytest.mark.parametrize("end", [UserError(Reason.DATASET_INVALID, "wrong"), None])
def test_a_failure_and_an_end_are_no_restarts(tmp_path: Path, end: BaseException | None) -> None:
    begin(tmp_path, 40)
    begin(tmp_path, 40)
    begin(tmp_path, 40, end)
    assert not (tmp_path / "restarts.json").exists()
    assert not is_refused(tmp_path, 40)


def test_a_count_that_cannot_be_read_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "restarts.json").write_text('{"progress": 40, "ti')
    assert not is_refused(tmp_path, 40)
