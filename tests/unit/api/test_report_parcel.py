"""A report goes through a log and comes out as it was, or not at all."""

from __future__ import annotations

import gzip
import random

import pytest

from finetune_api.report_parcel import LOG_LIMIT, REPORT_LIMIT, pack, unpack

LARGEST = b"\x1f\x8b" + random.Random(7).randbytes(REPORT_LIMIT - 2)


def log_of(report: bytes) -> list[str]:
    return [event.model_dump_json(by_alias=True) for event in pack(report)]


@pytest.mark.parametrize("report", [gzip.compress(b"<html>"), LARGEST], ids=["small", "largest"])
def test_what_is_packed_is_unpacked_among_other_lines(report: bytes) -> None:
    lines = ['{"event":"stage","time":"t","stage":"comparing"}', "no event", *log_of(report), '{"result":"compare"}']
    assert unpack("\n".join(lines)) == report


def test_the_largest_report_fits_what_is_read_of_a_log_in_lines_that_no_runtime_cuts() -> None:
    lines = log_of(LARGEST)
    assert len("\n".join(lines)) < LOG_LIMIT - 8 * 1024 and max(map(len, lines)) < 16 * 1024
    with pytest.raises(ValueError, match="at most"):
        pack(LARGEST + b"x")


def test_of_two_reports_the_last_one_counts() -> None:
    first, last = gzip.compress(b"first"), gzip.compress(b"last")
    assert unpack("\n".join(log_of(first) + log_of(last))) == last


@pytest.mark.parametrize(
    "lines",
    [
        [],
        log_of(LARGEST)[1:],
        log_of(LARGEST)[:-1],
        [log_of(LARGEST)[0].replace('"data":"', '"data":"AAAA'), *log_of(LARGEST)[1:]],
        [log_of(LARGEST)[0].replace('"data":"', '"data":"?'), *log_of(LARGEST)[1:]],
        log_of(b"not gzip"),
        ['{"event":"report","time":"t","part":0}'],
    ],
    ids=["nothing", "no start", "no end", "changed", "no base64", "not gzip", "no part"],
)
def test_what_is_not_whole_is_no_report(lines: list[str]) -> None:
    assert unpack("\n".join(lines)) is None
