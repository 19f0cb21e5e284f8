"""The report where there are several candidates: their order, each against the others, and their recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from findings_of import findings_among, right_for, small_suite

from finetune_api.orders import LeftOut
from finetune_trainer import figures
from finetune_trainer.report import several
from finetune_trainer.report.findings import Findings
from finetune_trainer.report.page import render
from finetune_trainer.report.wording import caveats
from finetune_trainer.report.write import as_markdown, write_report

WRITTEN = "2026-01-02T03:04:05Z"
SHARES = {"weak": 0.3, "strong": 0.9, "middling": 0.6}


def among(about: str, *, replicates: bool = False, **shares: float) -> Findings:
    answers = {name: right_for(share) for name, share in (shares or SHARES).items()}
    return findings_among(small_suite("eps", "revenue"), right_for(0.2), answers, about, replicates=replicates)


def seeds(number: int) -> Findings:
    return among("s0", replicates=True, **{f"s{seed}": 0.80 + seed / 50 for seed in range(number)})


def test_all_candidates_are_there_in_their_order_and_this_one_is_marked() -> None:
    findings = among("middling")
    places = several.places(findings.result)
    assert [(each.place, each.name, each.is_this) for each in places] == [
        ("1", "strong", False),
        ("2", "middling", True),
        ("3", "weak", False),
    ]
    assert places[1].overall == f"{findings.result.overall.tuned:.3f}"
    assert several.place_in_a_word(findings.result) == "place 2 of 3 candidates"


@pytest.mark.parametrize(("about", "words"), [("strong", {"better"}), ("weak", {"worse"})])
def test_each_other_candidate_is_told_with_an_interval_and_in_a_word(about: str, words: set[str]) -> None:
    result = among(about).result
    assert result.standing is not None
    rivals = several.rivals(result)
    assert [each.name for each in rivals] == [rank.name for rank in result.ranking if rank.name != about]
    assert {each.word for each in rivals} == words
    interval = {each.rival: each.interval for each in result.standing.versus}[rivals[0].name]
    assert rivals[0].interval == figures.interval(interval.low, interval.high)


def test_candidates_with_the_same_answers_are_not_told_apart() -> None:
    (twin,) = several.rivals(among("one", one=0.7, twin=0.7).result)
    assert (twin.name, twin.word) == ("twin", "not told apart")


def test_page_text_and_figures_name_the_candidates(tmp_path: Path) -> None:
    findings = among("strong")
    write_report(findings, tmp_path)
    page, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    assert page.index("place 1 of 3 candidates") < page.index("Scores") < page.index("Against each other candidate")
    for place in several.places(findings.result):
        assert place.name in page and place.interval in page
        assert f"| {place.place} | {place.overall} | {place.delta} | {place.interval} |" in text
    for rival in several.rivals(findings.result):
        assert f"| {rival.name} | {rival.delta} | {rival.interval} | {rival.word} |" in text
    figures_told = json.loads((tmp_path / "report.json").read_text())
    assert [(each["rank"], each["name"]) for each in figures_told["ranking"]] == [
        (1, "strong"),
        (2, "middling"),
        (3, "weak"),
    ]


def test_a_name_is_only_text() -> None:
    findings = among("<i>a|b", **{"<i>a|b": 0.5, "other": 0.7})
    assert "<i>" not in render(findings, WRITTEN)
    assert r"| **\<i\>a\|b** |" in as_markdown(findings)


def test_one_candidate_is_not_ranked() -> None:
    assert several.as_markdown(among("one", one=0.5).result).count("\n") == 2, "a place of its own, and no rival"


def test_the_verdict_on_the_recipe_stands_before_the_scores_with_spread_and_seeds() -> None:
    findings = seeds(5)
    recipe = findings.result.recipe
    assert recipe is not None and recipe.verdict == "Improved"
    page, text = render(findings, WRITTEN), as_markdown(findings)
    for told in ("The recipe, over 5 seeds: Improved", f"{recipe.spread:.3f}", f"{recipe.difference:+.3f}"):
        assert told in page and told in text
    assert "takes 5 seeds or more" not in page
    assert any("one of 5 that differ in their seed alone" in each for each in caveats(findings))
    assert not any("trained once, with one seed" in each for each in caveats(findings))


def test_too_few_seeds_are_said_to_be_too_few() -> None:
    for told in (render(seeds(3), WRITTEN), as_markdown(seeds(3))):
        assert "The recipe, over 3 seeds: Inconclusive" in told and "takes 5 seeds or more" in told


def test_without_replicates_nothing_is_said_of_a_recipe() -> None:
    assert "Recipe" not in render(among("weak"), WRITTEN) and "recipe, over" not in as_markdown(among("weak"))


def test_candidates_that_were_left_out_are_named_with_the_reason_in_every_form(tmp_path: Path) -> None:
    why = "FineTuneJob third failed: line 3 <b> is no JSON."
    alone = findings_among(small_suite("eps"), right_for(0.2), {"one": right_for(0.9)}, "one")
    for number, findings in enumerate((among("strong"), replace(alone, result=replace(alone.result, ranking=())))):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_report(replace(findings, left_out=(LeftOut(name="third", why=why),)), folder)
        page = (folder / "report.html").read_text()
        assert "<h2>Left out</h2>" in page and "<b>third</b>: FineTuneJob third failed: line 3 &lt;b&gt; is" in page
        assert r"left out: third: FineTuneJob third failed: line 3 \<b\> is" in (folder / "report.md").read_text()
        assert json.loads((folder / "report.json").read_text())["leftOut"] == [{"name": "third", "why": why}]
    assert "Left out" not in render(among("strong"), WRITTEN)
