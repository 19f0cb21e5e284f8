"""The dataset's report in headless Chromium: it fits a desk and a telephone, prints, and no example in it acts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from finetune_api.finetunejob import DatasetSummary
from finetune_trainer.dataset.examples import PromptCompletion
from finetune_trainer.dataset.quality import report
from finetune_trainer.dataset.quality.decisions import undecided
from finetune_trainer.dataset.quality.distributions import histogram
from finetune_trainer.dataset.quality.findings import Finding, FindingKind
from finetune_trainer.dataset.quality.inspection import Inspection
from finetune_trainer.dataset.reading import NumberedExample

from .browser import PLANTED, WIDTHS, look_at, pages_on_paper

LONG = "0123456789" * 60
EXAMPLES = 80


def example(line: int) -> NumberedExample:
    """Markup in question and answer, and words without an end."""
    asked = f"What did the company of quarter {line} earn per share? {PLANTED} {LONG}"
    answer = f"<b>positive</b>{PLANTED}"[: 15 if line % 2 else None]
    return NumberedExample(line, PromptCompletion(asked, answer))


@pytest.fixture(scope="module")
def page() -> str:
    """A report with everything in it."""
    examples = [example(line) for line in range(1, EXAMPLES + 1)]
    findings = [
        Finding(kind, line, f"{PLANTED} {LONG}", 0.9, peer=line + 1)
        for line, kind in enumerate([*FindingKind] * 7, start=1)
    ]
    inspection = Inspection(
        decided=undecided(examples),
        findings=tuple(findings),
        relevance={each.line: each.line / EXAMPLES for each in examples},
        languages=Counter({PLANTED: 50, LONG: 30}),
        labels=Counter({f"<b>positive</b>{PLANTED}": 40, LONG: 40}),
        histograms=(histogram("Prompts", "words", [each.line for each in examples]),),
    )
    summary = DatasetSummary(
        digest="sha256:" + "ab" * 32,
        train=70,
        validation=10,
        train_tokens=10**9,
        trainable_tokens=10**8,
        longest=800,
        truncated=3,
        quality=inspection.summary(),
    )
    return report.page(inspection, summary, f"earnings {PLANTED} {LONG}", "2026-01-02T03:04:05Z")


def test_it_fits_both_screens_and_no_example_acts(page: str, tmp_path: Path) -> None:
    for title in ("Findings", "About finance (score)", "Languages", "Labels", "To look at, worst first"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("&lt;script&gt;") > 100
    seen = look_at(page, tmp_path)
    assert not seen.planted
    assert [screen.width for screen in seen.screens] == [*WIDTHS, *WIDTHS]
    assert all(screen.needed <= screen.width for screen in seen.screens)


def test_every_histogram_and_every_example_that_is_shown_is_on_paper(page: str, tmp_path: Path) -> None:
    assert page.count("<article>") == 50 and "<details" not in page
    assert pages_on_paper(page, tmp_path) > 2


def test_a_page_that_does_not_escape_is_found_out(page: str, tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    assert look_at(
        page.replace("&lt;img src=x onerror=&#39;", "<img src=x onerror='").replace("true&#39;&gt;", "true'>"), tmp_path
    ).planted
