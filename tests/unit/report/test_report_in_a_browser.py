"""The report in headless Chromium: it fits a desk and a telephone, prints, and nothing planted in it runs."""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_trainer.compare_command.command import Form, Options, compare
from finetune_trainer.report.learning_curve import Losses
from finetune_trainer.report.page import render

PLANTED = "<script>window.top.planted = true</script><img src=x onerror='window.top.planted = true'>"
LONG = "0123456789" * 40
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
WIDTHS = (1280, 390)


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
    tuned = write_predictions(folder / "tuned.jsonl", 0.8, PLANTED)
    findings = compare(Options(base, [tuned], None, Form.HTML, None))
    losses = Losses({step: 3 / (step + 1) for step in range(1, 300)}, {0: 3.1, 150: 1.2, 299: 0.9})
    return render(replace(findings, losses=losses), "2026-01-02T03:04:05Z")


def chromium(*options: str) -> str:
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_it_fits_both_screens_and_what_is_planted_does_not_run(page: str, tmp_path: Path) -> None:
    """Also without the page's policy, so that it is the escaping that holds."""
    frames = "".join(
        f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{html.escape(source)}"></iframe>'
        for source in (page, POLICY.sub("", page))
        for width in WIDTHS
    )
    measure = """onload = () => { const widths = [...document.querySelectorAll('iframe')].map(frame => {
        const root = frame.contentDocument.documentElement;
        return [root.scrollWidth, frame.clientWidth, frame.contentDocument.querySelectorAll('mark').length]; });
        const found = JSON.stringify({widths, planted: window.planted === true});
        document.body.textContent = 'found ' + found + ' found'; }"""
    (tmp_path / "frame.html").write_text(f"<!doctype html><body>{frames}<script>{measure}</script>")
    seen = chromium("--virtual-time-budget=5000", "--dump-dom", (tmp_path / "frame.html").as_uri())
    found = json.loads(seen.split("found ")[-1].split(" found")[0])
    assert not found["planted"]
    assert [width for _, width, _ in found["widths"]] == [*WIDTHS, *WIDTHS]
    for needed, width, marks in found["widths"]:
        assert needed <= width and marks > 0


def test_on_paper_every_flip_is_there_though_it_is_folded_away_on_the_screen(page: str, tmp_path: Path) -> None:
    assert "<details>" in page
    on_paper = page.replace("@media print", "@media all")
    frames = "".join(f'<iframe srcdoc="{html.escape(source)}"></iframe>' for source in (page, on_paper))
    measure = """onload = () => { const hidden = [...document.querySelectorAll('iframe')].map(frame =>
        [...frame.contentDocument.querySelectorAll('article')].filter(each => !each.checkVisibility()).length);
        document.body.textContent = 'found ' + JSON.stringify(hidden) + ' found'; }"""
    (tmp_path / "frame.html").write_text(f"<!doctype html><body>{frames}<script>{measure}</script>")
    seen = chromium("--virtual-time-budget=5000", "--dump-dom", (tmp_path / "frame.html").as_uri())
    on_screen, printed = json.loads(seen.split("found ")[-1].split(" found")[0])
    assert on_screen > 0 and printed == 0


def test_it_prints(page: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page)
    paper = tmp_path / "report.pdf"
    chromium("--no-pdf-header-footer", f"--print-to-pdf={paper}", (tmp_path / "report.html").as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF-") and len(re.findall(rb"/Type\s*/Page\b", content)) > 2
