"""The report: what it says, that nothing in it can act, and that it needs nothing from elsewhere."""

from __future__ import annotations

import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from findings_of import AnswerOf, at_least, findings_of, right_for, small_suite

from finetune_api.comparison import Cost
from finetune_api.quantization import Precision, Quantization
from finetune_trainer.report.answers import changed_answers
from finetune_trainer.report.findings import Findings
from finetune_trainer.report.forest_plot import forest_plot
from finetune_trainer.report.page import render
from finetune_trainer.report.short_report import short_report
from finetune_trainer.report.table import markdown
from finetune_trainer.report.wording import caveats, headline
from finetune_trainer.report.write import write_report

WRITTEN = "2026-01-02T03:04:05Z"
ATTACK = '<script>alert("x")</script><img src=x onerror=alert(1)> 1.5'


class Page(HTMLParser):
    """The tags, attributes and words of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += " " + data


def page_of(findings: Findings) -> Page:
    return Page(render(findings, WRITTEN))


def improved(tuned: AnswerOf | None = None, **changes: object) -> Findings:
    return findings_of(small_suite("eps", "revenue"), right_for(0.2), tuned or right_for(0.9), **changes)  # type: ignore[arg-type]


def test_answers_questions_and_titles_are_only_text() -> None:
    findings = findings_of(small_suite("eps", title="<b onclick=x>EPS"), right_for(0.2), lambda _: ATTACK)
    page = page_of(findings)
    assert ATTACK in page.words and "<b onclick=x>EPS" in page.words and "<i>&amp;" in page.words
    assert not {"script", "img", "i"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_the_page_needs_nothing_from_elsewhere() -> None:
    source = render(improved(), WRITTEN)
    assert not re.search(r"https?:|url\(|@import|\bsrc=|\bhref=", source)
    assert "default-src 'none'" in source


@pytest.mark.parametrize(
    ("base", "tuned", "sentence"),
    [
        (right_for(0.2), right_for(0.9), "answers the small suite better than its base model"),
        (right_for(0.9), right_for(0.2), "answers the small suite worse than its base model"),
        (right_for(0.5), right_for(0.5), "gives the same answers as its base model, byte for byte"),
        (right_for(0.5), lambda n: "1.5" if n % 2 else "7", "cannot be told"),
    ],
)
def test_the_headline_says_the_verdict_in_a_sentence(base: AnswerOf, tuned: AnswerOf, sentence: str) -> None:
    findings = findings_of(small_suite("eps"), base, tuned)
    assert sentence in headline(findings)
    assert headline(findings) in page_of(findings).words


def test_every_task_and_the_overall_score_are_in_the_table() -> None:
    findings = improved()
    page, table = page_of(findings), markdown(findings.result)
    for result in (*findings.result.tasks, findings.result.overall):
        assert f"{result.tuned:.3f}" in page.words and f"{result.difference:+.3f}" in page.words
        assert f"| {result.title} | {result.base:.3f} | {result.tuned:.3f} |" in table
    assert len(table.splitlines()) == 2 + 3


def test_markup_in_a_title_does_not_break_the_markdown_table() -> None:
    findings = findings_of(small_suite("eps", title="a | b\n*c* <d>"), right_for(0.2), right_for(0.9))
    row = markdown(findings.result).splitlines()[2]
    assert row.startswith(r"| a \| b \*c\* \<d\> | ")


def test_gates_that_were_not_passed_are_told_in_the_first_lines() -> None:
    findings = findings_of(small_suite("eps"), right_for(0.9), right_for(0.2), gate=at_least("10"))
    words = page_of(findings).words
    assert words.index("2 of 3 gates not passed: minimum improvement, eps") < words.index("Scores")
    assert words.count("not passed") >= 3


def test_energy_that_was_not_measured_is_said_to_be_so() -> None:
    cost = Cost(training_hours="0.031", energy_note="not measured: no GPU")
    words = page_of(improved(cost=cost)).words
    assert "GPU energy: not measured: no GPU" in words and "training time: 1.9 minutes" in words


def test_measured_energy_is_shown() -> None:
    words = page_of(improved(cost=Cost(training_hours="3.5", energy_kwh="1.25"))).words
    assert "GPU energy: 1.25 kWh" in words and "training time: 3.5 hours" in words


def test_what_the_verdict_is_about_is_always_said() -> None:
    said = " ".join(caveats(improved()))
    for statement in ("one seed", "float32, adapter beside it, not merged", "pretraining is unknown", "240 examples"):
        assert statement in said
    assert "another form" not in said.replace("In another form the answers may differ.", "")


@pytest.mark.parametrize(
    ("looks", "statement"),
    [
        (None, "looked at this suite before is not known"),
        (0, "0 other Comparisons have looked at this suite before"),
        (1, "1 other Comparison has looked at this suite before"),
        (7, "7 other Comparisons have looked at this suite before"),
    ],
)
def test_earlier_looks_at_the_suite_are_told_in_every_form(looks: int | None, statement: str, tmp_path: Path) -> None:
    write_report(improved(earlier_looks=looks), tmp_path)
    assert statement in Page((tmp_path / "report.html").read_text()).words
    assert statement in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["earlierLooks"] == looks


@pytest.mark.parametrize(
    ("form", "statement"),
    [
        ({"quantization": Quantization.NF4}, "baseline was scored in another form"),
        ({"precision": Precision.BFLOAT16}, "baseline was scored in another form"),
        ({"base_model": "sha256:other"}, "different base models"),
    ],
)
def test_whatever_differs_beside_the_adapter_is_said(form: dict[str, object], statement: str) -> None:
    findings = improved(tuned_form=form)
    assert any(statement in caveat for caveat in caveats(findings))


def test_all_digests_are_there_to_reproduce_it() -> None:
    findings = improved()
    words = page_of(findings).words
    for evaluation in (findings.baseline, findings.candidate):
        content = evaluation.record.content
        for digest in (evaluation.record.digest, content.base_model, content.suite, content.prompts):
            assert digest in words
    assert findings.candidate.record.content.adapter in words.split()


def test_the_effect_that_the_sample_detects_is_told() -> None:
    words = page_of(improved()).words
    assert "What this sample can detect" in words and "14.8" in words


def test_changed_answers_are_counted_and_shown_by_a_rule() -> None:
    findings = improved()
    (eps, _) = changed_answers(findings)
    assert eps.better + eps.worse + eps.other + eps.same == 120
    assert eps.better == sum(
        after.score > before.score
        for before, after in zip(findings.baseline.predictions[:120], findings.candidate.predictions[:120], strict=True)
    )
    assert changed_answers(findings) == changed_answers(improved())


def test_the_plot_puts_better_to_the_right_and_keeps_everything_in_sight() -> None:
    findings = improved()
    results = (*findings.result.tasks, findings.result.overall)
    plot = forest_plot(results, margin=0.03)
    for row, result in zip(plot.rows, results, strict=True):
        assert 0 < row.low <= row.estimate <= row.high < 480
        assert (row.low > plot.zero) == (result.inference.low > 0)
    assert plot.margin_low < plot.zero < plot.margin_high
    assert [tick.x for tick in plot.ticks] == sorted(tick.x for tick in plot.ticks)
    assert "0" in [tick.label for tick in plot.ticks]


def test_an_empty_difference_can_be_drawn() -> None:
    findings = findings_of(small_suite("eps"), right_for(0.5), right_for(0.5))
    plot = forest_plot((findings.result.overall,), margin=0.03)
    assert plot.rows[0].estimate == plot.zero


def test_a_report_that_is_to_travel_leaves_out_flips_until_it_fits_and_says_so() -> None:
    findings = improved()
    whole = short_report(findings, WRITTEN)
    assert whole is not None
    cut = short_report(findings, WRITTEN, limit=len(whole) - 1)
    assert cut is not None and len(cut) < len(whole)
    assert gzip.decompress(whole).decode() == render(findings, WRITTEN)
    assert "to keep this page small" in gzip.decompress(cut).decode()
    assert short_report(findings, WRITTEN, limit=100) is None
