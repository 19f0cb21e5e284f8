"""The step's last word: its result, in the pod's termination message."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from finetune_api.comparison import CandidateStatus, Cost
from finetune_api.results import TERMINATION_MESSAGE_LIMIT, CompareResult, Failure, Result, cut_name, pack_result

TERMINATION_LOG_VARIABLE = "FINETUNE_TERMINATION_LOG"
_DEFAULT_PATH = Path("/dev/termination-log")
_ERROR_LENGTH = 400
_CUT = " ..."
_TITLE_LENGTHS = (120, 60, 30, 15, 8, 4)
"""What titles and notes of a compare result are cut to, until it fits."""


def report_result(result: Result) -> None:
    """Writes the result to the termination message, when there is one, and as a line on stdout."""
    path = _termination_message_path()
    if path is not None:
        path.write_text(bounded_document(result))
    print(_to_json(result), flush=True)
    if isinstance(result, Failure):
        print(f"{result.reason}: {result.message}", file=sys.stderr, flush=True)


def bounded_document(result: Result) -> str:
    """The result in at most 4096 bytes: as JSON, or packed. Of a failure, errors and then the message are cut; of a
    comparison, the names of other candidates and then titles. The report has all of them whole."""
    document = _to_json(result)
    if _fits(document):
        return document
    if isinstance(result, Failure):
        return _to_json(_shortened(result))
    packed = pack_result(result)
    if isinstance(result, CompareResult):
        packed = next(filter(_fits, (packed, *map(pack_result, _ever_shorter(result)))), packed)
    if not _fits(packed):
        raise ValueError(f"a {result.result} result of {len(packed.encode())} bytes, packed")
    return packed


def _ever_shorter(result: CompareResult) -> Iterator[CompareResult]:
    named = _with_cut_names(result.candidate)
    yield result.model_copy(update={"candidate": named})
    for length in _TITLE_LENGTHS:
        yield result.model_copy(update={"candidate": _with_cut_titles(named, length)})


def _with_cut_names(candidate: CandidateStatus) -> CandidateStatus:
    versus = tuple(each.model_copy(update={"candidate": cut_name(each.candidate)}) for each in candidate.versus)
    return candidate.model_copy(update={"fine_tune_job": cut_name(candidate.fine_tune_job), "versus": versus})


def _with_cut_titles(candidate: CandidateStatus, length: int) -> CandidateStatus:
    tasks = tuple(task.model_copy(update={"title": _cut(task.title, length)}) for task in candidate.tasks)
    return candidate.model_copy(update={"tasks": tasks, "cost": candidate.cost and _noted(candidate.cost, length)})


def _noted(cost: Cost, length: int) -> Cost:
    note = cost.energy_note
    return cost.model_copy(update={"energy_note": note and _cut(note, length)})


def _shortened(failure: Failure) -> Failure:
    errors = tuple(_cut(error, _ERROR_LENGTH) for error in failure.errors)
    while errors and not _fits(_to_json(failure.model_copy(update={"errors": errors}))):
        errors = errors[:-1]
    shortened = failure.model_copy(update={"errors": errors})
    length = len(failure.message)
    while not _fits(_to_json(shortened)):
        length //= 2
        shortened = shortened.model_copy(update={"message": _cut(failure.message, length)})
    return shortened


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + _CUT


def _fits(document: str) -> bool:
    return len(document.encode()) <= TERMINATION_MESSAGE_LIMIT


def _to_json(result: Result) -> str:
    return result.model_dump_json(by_alias=True, exclude_none=True)


def _termination_message_path() -> Path | None:
    named = os.environ.get(TERMINATION_LOG_VARIABLE)
    if named:
        return Path(named)
    return _DEFAULT_PATH if _DEFAULT_PATH.exists() else None
