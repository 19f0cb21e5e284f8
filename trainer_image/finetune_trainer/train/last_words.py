"""What each process of a node ended with, and which of them tells why the training ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.fields import WireModel
from finetune_api.results import Failure, Result
from finetune_trainer.artifacts import write_durably
from finetune_trainer.failures import MemberFailure


class LastWord(WireModel):
    """What one process ended with."""

    exit_code: ExitCode
    result: Result


_FOR_SURE = (
    ExitCode.USER,
    ExitCode.NON_FINITE_LOSS,
    ExitCode.GPU_OUT_OF_MEMORY,
    ExitCode.OVERHEATED,
    ExitCode.DEADLINE_EXCEEDED,
    ExitCode.INFRASTRUCTURE,
)
"""Ends that no other process's end brings about, the most decisive first."""
_PERHAPS_AFTERMATH = (ExitCode.DEFECT, ExitCode.STOPPED)
"""The agent stops the processes that are left, and a connection can break in many ways."""


def leave_last_word(path: Path, exit_code: ExitCode, result: Result) -> None:
    write_durably(path, LastWord(exit_code=exit_code, result=result).model_dump_json(by_alias=True))


def read_last_words(folder: Path) -> dict[int, LastWord]:
    """By the process's number on its node; those that were killed have left none."""
    words = {}
    for path in folder.glob("*.json"):
        try:
            words[int(path.stem)] = LastWord.model_validate_json(path.read_text())
        except (OSError, ValidationError):
            continue
    return words


def decisive(words: Mapping[int, LastWord], *, some_were_killed: bool = False) -> MemberFailure | None:
    """The failure that the others followed from; None where none failed, or where only a kill explains them."""
    failures = [(word.exit_code, word.result) for _, word in sorted(words.items()) if isinstance(word.result, Failure)]
    lost = [(code, failure) for code, failure in failures if failure.reason is Reason.POD_LOST]
    own = [end for end in failures if end not in lost]
    for expected in _FOR_SURE if some_were_killed else (*_FOR_SURE, *_PERHAPS_AFTERMATH):
        for code, failure in own:
            if code is expected:
                return MemberFailure(code, failure)
    return MemberFailure(*lost[0]) if lost and not some_were_killed else None
