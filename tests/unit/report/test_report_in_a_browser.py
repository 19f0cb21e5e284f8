"""The report in headless Chromium: it fits a desk and a telephone, prints, and nothing planted in it runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_api.comparison import Cost
from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer.compare_command.judging import compare
from finetune_trainer.report.learning_curve import Losses
from finetune_trainer.report.page import render
from finetune_trainer.statistics.recipe import RecipeResult

from .browser import PLANTED, WIDTHS, hidden_articles, look_at, pages_on_paper

LONG = "0123456789" * 40
RECIPE = RecipeResult(5, 0.5, 0.4, 0.6, 0.1, Verdict.IMPROVED, VerdictReason.INTERVAL_ABOVE_ZERO, PLANTED)
COST = Cost(
    training_hours="3.5",
    energy_kwh="7",
    failed_attempts_energy_kwh="0.5",
    evaluation_hours="0.2",
    money="1234567890.12",
    currency="<i>EUR</i>",
)


def write_predictions(path: Path, share: float, answer: str) -> Path:
    rows = [
        {
            "id": f"{task}-{number}",
            "task": f"{task} {PLANTED}",
            "group": f"company {number % 12}",
            "score": int((number * 0.618) % 1 < share),
            "prediction": "EPS: 2.14" if (number * 0.618) % 1 < share else f"{answer} {number}",
            "reference": "2.14",
            "question": f"What were the earnings of company {number}? {PLANTED} {LONG}",
        }
        for task in ("EPS", "revenue")
        for number in range(24)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with everything in it, and markup and endless words wherever others may write."""
    folder = tmp_path_factory.mktemp("report")
    base = write_predictions(folder / "base.jsonl", 0.3, LONG)
    shares = {"tuned": 0.8, f"{LONG[:200]}": 0.5, "<img src=x onerror='window.top.planted = true'>": 0.4}
    candidates = [write_predictions(folder / f"{name}.jsonl", share, PLANTED) for name, share in shares.items()]
    best = compare(base, candidates)[0]
    losses = Losses({step: 3 / (step + 1) for step in range(1, 300)}, {0: 3.1, 150: 1.2, 299: 0.9})
    whole = replace(best, losses=losses, cost=COST, result=replace(best.result, recipe=RECIPE))
    return render(whole, "2026-01-02T03:04:05Z")


def test_it_fits_both_screens_and_what_is_planted_does_not_run(page: str, tmp_path: Path) -> None:
    for section in ("Recipe", "Candidates", "Against each other candidate", "What it cost", "Answers that changed"):
        assert f"<h2>{section}</h2>" in page
    seen = look_at(page, tmp_path)
    assert not seen.planted
    assert [screen.width for screen in seen.screens] == [*WIDTHS, *WIDTHS]
    for screen in seen.screens:
        assert screen.needed <= screen.width and screen.marks > 0


def test_on_paper_every_flip_is_there_though_it_is_folded_away_on_the_screen(page: str, tmp_path: Path) -> None:
    assert "<details>" in page
    on_screen, printed = hidden_articles(page, tmp_path)
    assert on_screen > 0 and printed == 0


def test_it_prints(page: str, tmp_path: Path) -> None:
    assert pages_on_paper(page, tmp_path) > 2
