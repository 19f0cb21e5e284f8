"""How far the plan's memory is off, on peaks that others measured."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest
from published_peaks import FITTED_ON, PublishedPeak, published_peaks

from finetune_trainer.planning.memory import GIB, estimate
from finetune_trainer.planning.search import Need

PEAKS = published_peaks()
TESTED_ON = [peak for peak in PEAKS if peak.framework != FITTED_ON]
DOCUMENT = Path(__file__).parents[3] / "docs" / "planning.md"


def mean_error(peaks: list[PublishedPeak]) -> float:
    return mean(abs(peak.error) for peak in peaks)


def test_on_frameworks_that_nothing_was_fitted_on_the_mean_error_is_at_most_8_percent() -> None:
    assert len({peak.framework for peak in TESTED_ON}) >= 4
    assert mean_error(TESTED_ON) <= 0.08


def test_on_each_framework_alone_too() -> None:
    for framework in {peak.framework for peak in PEAKS}:
        assert mean_error([peak for peak in PEAKS if peak.framework == framework]) <= 0.08, framework


@pytest.mark.parametrize("peak", PEAKS, ids=lambda peak: peak.name)
def test_no_peak_is_missed_by_more_than_25_percent(peak: PublishedPeak) -> None:
    assert abs(peak.error) <= 0.25


@pytest.mark.parametrize("peak", PEAKS, ids=lambda peak: peak.name)
def test_the_smallest_gpu_that_a_plan_accepts_holds_the_peak(peak: PublishedPeak) -> None:
    need = Need(estimate(peak.dimensions, peak.setup), None)
    assert peak.on_the_device <= need.memory
    assert need.memory - need.peak >= need.reserve(need.memory) - 1


def test_the_documented_accuracy_is_the_measured_one() -> None:
    for framework in dict.fromkeys(peak.framework for peak in PEAKS):
        assert documented_line(framework) in DOCUMENT.read_text()


def documented_line(framework: str) -> str:
    peaks = [peak for peak in PEAKS if peak.framework == framework]
    lowest, highest = min(peak.error for peak in peaks), max(peak.error for peak in peaks)
    return f"| {framework} | {len(peaks)} | {mean_error(peaks):.1%} | {lowest:+.1%} to {highest:+.1%} |"


def test_the_sources_are_named() -> None:
    text = (Path(__file__).parent / "published_peaks.csv").read_text()
    assert all(len(line.split(",")[-1]) > 10 for line in text.splitlines()[1:])
    assert all(peak.peak > GIB for peak in PEAKS)
