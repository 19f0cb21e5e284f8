"""Of what several processes ended with, the one is told that the others followed from."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.results import Failure
from finetune_trainer.train.last_words import LastWord, decisive, leave_last_word, read_last_words

REASONS = {
    ExitCode.DEFECT: Reason.INTERNAL_ERROR,
    ExitCode.USER: Reason.MODEL_INVALID,
    ExitCode.INFRASTRUCTURE: Reason.STORAGE_FULL,
    ExitCode.STOPPED: Reason.PREEMPTED,
    ExitCode.GPU_OUT_OF_MEMORY: Reason.OUT_OF_MEMORY,
    ExitCode.NON_FINITE_LOSS: Reason.NON_FINITE_LOSS,
    ExitCode.OVERHEATED: Reason.OVERHEATED,
}


def ended(code: ExitCode) -> LastWord:
    return LastWord(exit_code=code, result=Failure(reason=REASONS[code], message=code.name))


LOST = LastWord(exit_code=ExitCode.INFRASTRUCTURE, result=Failure(reason=Reason.POD_LOST, message="LOST"))


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ([ended(ExitCode.STOPPED), ended(ExitCode.STOPPED)], "STOPPED"),
        ([LOST, ended(ExitCode.GPU_OUT_OF_MEMORY)], "GPU_OUT_OF_MEMORY"),
        ([ended(ExitCode.STOPPED), ended(ExitCode.GPU_OUT_OF_MEMORY)], "GPU_OUT_OF_MEMORY"),
        ([ended(ExitCode.DEFECT), ended(ExitCode.USER)], "USER"),
        ([LOST, ended(ExitCode.INFRASTRUCTURE)], "INFRASTRUCTURE"),
        ([LOST, ended(ExitCode.DEFECT)], "DEFECT"),
        ([ended(ExitCode.STOPPED), ended(ExitCode.OVERHEATED)], "OVERHEATED"),
        ([ended(ExitCode.STOPPED), LOST], "STOPPED"),
        ([LOST], "LOST"),
    ],
)
def test_the_end_that_explains_the_others_is_told(ends: list[LastWord], told: str) -> None:
    failure = decisive(dict(enumerate(ends)))
    assert failure is not None
    assert failure.message == told


@pytest.mark.parametrize("code", [ExitCode.DEFECT, ExitCode.STOPPED])
def test_what_may_follow_from_a_kill_does_not_explain_it(code: ExitCode) -> None:
    assert decisive({0: ended(code), 1: LOST}, some_were_killed=True) is None


def test_what_does_not_follow_from_a_kill_is_told_beside_one() -> None:
    failure = decisive({0: LOST, 1: ended(ExitCode.GPU_OUT_OF_MEMORY)}, some_were_killed=True)
    assert failure is not None
    assert failure.exit_code is ExitCode.GPU_OUT_OF_MEMORY


def test_last_words_are_read_by_process_and_torn_ones_are_none(tmp_path: Path) -> None:
    word = ended(ExitCode.USER)
    leave_last_word(tmp_path / "1.json", word.exit_code, word.result)
    (tmp_path / "0.json").write_text('{"exitCode": 2')
    assert read_last_words(tmp_path) == {1: word}
