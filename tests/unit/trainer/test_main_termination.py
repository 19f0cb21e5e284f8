"""The termination message holds at most 4096 bytes and can always be read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finetune_api.conditions import Reason
from finetune_api.evaluation import TaskScore
from finetune_api.results import EvaluateResult, Failure, parse_result
from finetune_trainer.failures import UserError
from finetune_trainer.termination import bounded_document

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9000)


@given(message=texts, errors=st.lists(texts, max_size=5), count=st.integers(0, 10**9))
def test_every_failure_fits_and_keeps_reason_and_count(message: str, errors: list[str], count: int) -> None:
    failure = Failure(reason=Reason.DATASET_INVALID, message=message, errors=tuple(errors), error_count=count)
    document = bounded_document(failure)
    assert len(document.encode()) <= 4096
    read = parse_result(document)
    assert isinstance(read, Failure)
    assert (read.reason, read.error_count) == (Reason.DATASET_INVALID, count)


def test_what_fits_is_not_cut() -> None:
    failure = Failure(reason=Reason.DATASET_INVALID, message="m" * 500, errors=("e" * 400,) * 5, error_count=9)
    assert parse_result(bounded_document(failure)) == failure


def test_errors_are_cut_before_the_message() -> None:
    failure = Failure(reason=Reason.DATASET_INVALID, message="m" * 3000, errors=("e" * 2000,) * 5, error_count=5)
    read = parse_result(bounded_document(failure))
    assert isinstance(read, Failure)
    assert read.message == failure.message
    assert 1 <= len(read.errors) < 5
    assert read.errors[0].endswith(" ...")


def test_a_result_that_is_too_long_goes_packed_and_whole() -> None:
    tasks = tuple(TaskScore(name=f"task-{number:02}-{'x' * 50}", n=200, score="0.5000") for number in range(60))
    result = EvaluateResult(digest="sha256:d", score="0.5", tasks=tasks, seconds="1")
    assert len(result.model_dump_json()) > 4096
    document = bounded_document(result)
    assert len(document.encode()) <= 4096
    assert parse_result(document) == result


def test_a_failure_shows_five_errors_and_counts_all() -> None:
    error = UserError(Reason.DATASET_INVALID, "m", errors=[f"line {number}" for number in range(70)])
    assert error.to_failure().errors == ("line 0", "line 1", "line 2", "line 3", "line 4")
    assert error.to_failure().error_count == 70
