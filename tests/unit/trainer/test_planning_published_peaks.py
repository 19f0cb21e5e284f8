"""How far the plan's memory is off, on peaks that others measured."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest
from published_peaks import FITTED_ON, PublishedPeak, published_peaks

from finetune_trainer.planning.memory import GIB
from finetune_trainer.planning.profiles import Framework
from finetune_trainer.planning.search import Need

PEAKS = published_peaks()
TESTED_ON = [peak for peak in PEAKS if peak.measured_by != FITTED_ON]
DOCUMENT = Path(__file__).parents[3] / "docs" / "planning.md"


def mean_error(peaks: list[PublishedPeak]) -> float:
    return mean(abs(peak.error) for peak in peaks)


def peaks_by_framework() -> dict[str, list[PublishedPeak]]:
    names = dict.fromkeys(peak.measured_by for peak in PEAKS)
    return {name: [peak for peak in PEAKS if peak.measured_by == name] for name in names}


def test_on_frameworks_that_nothing_was_fitted_on_the_mean_error_is_at_most_8_percent() -> None:
    assert len({peak.framework for peak in TESTED_ON}) >= 4
    assert mean_error(TESTED_ON) <= 0.08


def test_on_each_framework_alone_too() -> None:
    assert {name: mean_error(peaks) for name, peaks in peaks_by_framework().items() if mean_error(peaks) > 0.08} == {}


@pytest.mark.parametrize("peak", PEAKS, ids=lambda peak: peak.name)
def test_no_peak_is_missed_by_more_than_25_percent(peak: PublishedPeak) -> None:
    assert abs(peak.error) <= 0.25


@pytest.mark.parametrize("peak", PEAKS, ids=lambda peak: peak.name)
def test_the_smallest_gpu_that_a_plan_accepts_holds_the_peak(peak: PublishedPeak) -> None:
    need = Need(peak.memory.parts, None)
    assert peak.on_the_device <= need.memory
    assert need.memory - need.peak >= need.reserve(need.memory) - 1


def test_only_where_its_plug_ins_replace_it_is_the_loss_not_the_frameworks_usual_one() -> None:
    assert {peak.measured_by for peak in PEAKS if not peak.usual_loss} == {FITTED_ON}


def test_the_documented_accuracy_is_the_measured_one() -> None:
    text = DOCUMENT.read_text()
    assert [line for line in map(documented_line, peaks_by_framework()) if line not in text] == []
    worst = max(abs(peak.error) for peak in TESTED_ON)
    assert f"{mean_error(TESTED_ON):.1%} on the mean, {worst:.1%} at worst" in " ".join(text.split())


def test_it_is_documented_how_far_off_the_plan_of_another_framework_is() -> None:
    errors = [peak.error for peak in published_peaks(Framework.OWN) if peak.measured_by != FITTED_ON]
    off = f"{mean(map(abs, errors)):.1%} | {min(errors):+.1%} to {max(errors):+.1%}"
    assert f"| like this trainer | {off} |" in DOCUMENT.read_text()


def documented_line(name: str) -> str:
    peaks = peaks_by_framework()[name]
    lowest, highest = min(peak.error for peak in peaks), max(peak.error for peak in peaks)
    return f"| {name} | {len(peaks)} | {mean_error(peaks):.1%} | {lowest:+.1%} to {highest:+.1%} |"


def test_the_sources_are_named() -> None:
    text = (Path(__file__).parent / "published_peaks.csv").read_text()
    assert all(len(line.split(",")[-1]) > 10 for line in text.splitlines()[1:])
    assert all(peak.peak > GIB for peak in PEAKS)
