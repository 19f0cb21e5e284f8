"""What a step says while it works."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from finetune_api.events import parse_event
from finetune_trainer.reporting import Reporter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def said(stream: StringIO) -> list[dict[str, Any]]:
    lines = stream.getvalue().splitlines()
    for line in lines:
        parse_event(line)
    return [json.loads(line) for line in lines]


def test_progress_is_throttled_but_begins_and_ends_with_a_report() -> None:
    stream, clock = StringIO(), Clock()
    reporter = Reporter(stream, interval=5, clock=clock)
    for step in range(1, 101):
        clock.now = step * 0.1
        reporter.progress(step, 100)
        reporter.progress(step, 100)
    assert [event["step"] for event in said(stream)] == [1, 51, 100]


def test_the_remaining_time_follows_from_the_steps_so_far() -> None:
    stream, clock = StringIO(), Clock()
    reporter = Reporter(stream, interval=0, clock=clock)
    reporter.stage("training on from step 20")
    reporter.progress(20, 100)
    clock.now = 30.0
    reporter.progress(30, 100, loss=1.23456, tokens_per_second=98.76)
    last = said(stream)[-1]
    assert last["etaSeconds"] == 210.0
    assert (last["loss"], last["tokensPerSecond"], last["stage"]) == ("1.2346", "98.8", "training on from step 20")


def test_a_new_stage_starts_its_own_progress() -> None:
    stream, clock = StringIO(), Clock()
    reporter = Reporter(stream, interval=60, clock=clock)
    reporter.progress(1, 10)
    reporter.stage("validating")
    assert reporter.progress(1, 2)
    assert "etaSeconds" not in said(stream)[-1]


def test_progress_tells_the_age_of_the_last_checkpoint_where_there_is_one() -> None:
    stream = StringIO()
    reporter = Reporter(stream, interval=0)
    reporter.progress(1, 10)
    reporter.progress(2, 10, checkpoint_age_seconds=61.26)
    assert [event.get("checkpointAgeSeconds") for event in said(stream)] == [None, 61.3]
