"""Slices: which ones an example lies in, and where a difference lies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from findings_of import COMPANIES, evaluation_of, findings_of, right_for, small_suite
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.report.page import render
from finetune_trainer.report.write import write_report
from finetune_trainer.statistics.slices import Dimension, Slice, Slices, slice_effects, slices_of
from finetune_trainer.suites.load import builtin_suite_folder, load_suite
from finetune_trainer.suites.model import LoadedSuite, Message

INSTRUCTION = "Give the EPS in percent or million (negative for a loss).\n\n"


def names(text: str, dimension: Dimension, reference: str = "x") -> set[str]:
    return {each.name for each in slices_of(text, reference, None) if each.dimension is dimension}


@pytest.mark.parametrize(
    ("reference", "result"),
    [
        ("-1.23", {"loss"}),
        ("-$0.10", {"loss"}),
        ("4.56", {"profit"}),
        ("1,234.5", {"profit"}),
        ("0.00", set()),
        ("-0", set()),
        ("down 2.3%", set()),
        ("negative", set()),
    ],
)
def test_a_loss_is_told_from_a_profit_by_the_sign_of_the_reference(reference: str, result: set[str]) -> None:
    assert names("How much?", Dimension.RESULT, reference) == result


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("Revenue was $267.6 million.", {"millions"}),
        ("Revenue was $984.8m, up from 3bn.", {"millions", "billions"}),
        ("It lost 12% and 5 thousand jobs.", {"percent", "thousands"}),
        ("It earned $3 per diluted share.", {"per share"}),
        ("It has many millions of friends.", set()),
        ("It sold 3 machines in 20 kitchens.", set()),
    ],
)
def test_units_are_those_of_the_text_and_not_of_the_instruction(text: str, units: set[str]) -> None:
    assert names(text, Dimension.UNIT) == units
    assert names(INSTRUCTION + text, Dimension.UNIT) == units


@given(st.text(), st.none() | st.text(), st.none() | st.text(min_size=1))
def test_every_example_has_one_length_and_at_most_one_result_and_pattern(
    text: str, reference: str | None, pattern: str | None
) -> None:
    found = [each.dimension for each in slices_of(text, reference, pattern)]
    assert found.count(Dimension.LENGTH) == 1
    assert found.count(Dimension.RESULT) <= 1
    assert found.count(Dimension.PATTERN) == (pattern is not None)


def sliced_suite() -> LoadedSuite:
    """Every second company has a loss, and all of its questions are about millions."""
    suite = small_suite("eps")
    examples = tuple(
        example.model_copy(
            update={
                "reference": "-1.5" if _is_even(number) else "1.5",
                "messages": (Message(role="user", content="$2 million?" if _is_even(number) else "How much?"),),
            }
        )
        for number, example in enumerate(suite.examples["eps"])
    )
    return LoadedSuite(suite.suite, {**suite.examples, "eps": examples})


def _is_even(number: int) -> bool:
    return number % COMPANIES % 2 == 0


def found_in(suite: LoadedSuite) -> Slices:
    """The tuned model has learnt all losses, and no profit."""
    base = evaluation_of(suite, "base", lambda number: "7")
    tuned = evaluation_of(suite, "tuned", lambda number: "-1.5" if _is_even(number) else "8")
    return slice_effects(suite, base.predictions, tuned.predictions)


def test_a_gain_on_losses_alone_shows_on_that_slice_with_its_interval() -> None:
    effects = {each.slice: each for each in found_in(sliced_suite()).effects}
    loss = effects[Slice(Dimension.RESULT, "loss")]
    assert (loss.examples, loss.base, loss.tuned, loss.inference.groups) == (60, 0.0, 1.0, 20)
    assert loss.inference.low == loss.inference.high == 1.0


def test_slices_where_too_little_changed_are_counted_and_not_told() -> None:
    slices = found_in(sliced_suite())
    assert Slice(Dimension.RESULT, "profit") not in {each.slice for each in slices.effects}
    assert slices.left_out == 1


def test_within_a_pattern_only_the_company_makes_examples_alike() -> None:
    suite = sliced_suite()
    examples = tuple(
        example.model_copy(update={"pattern": "even" if _is_even(number) else f"odd {number}"})
        for number, example in enumerate(suite.examples["eps"])
    )
    effects = found_in(LoadedSuite(suite.suite, {**suite.examples, "eps": examples})).effects
    assert [(each.slice, each.inference.groups) for each in effects] == [(Slice(Dimension.PATTERN, "even"), 20)]


def test_a_slice_that_holds_every_example_tells_nothing_new() -> None:
    suite = sliced_suite()
    losses = tuple(each.model_copy(update={"reference": "-1.5"}) for each in suite.examples["eps"])
    slices = found_in(LoadedSuite(suite.suite, {**suite.examples, "eps": losses}))
    assert Dimension.RESULT not in {each.slice.dimension for each in slices.effects}
    assert Dimension.LENGTH not in {each.slice.dimension for each in slices.effects}


def test_the_finance_suite_falls_into_slices_of_every_dimension() -> None:
    suite = load_suite(builtin_suite_folder("finance"))
    found = {
        each
        for task in suite.suite.scored_tasks
        for example in suite.examples[task.name]
        for each in slices_of(example.messages[-1].content if example.messages else "", example.reference, "p")
    }
    assert {each.dimension for each in found} == set(Dimension)
    assert {"loss", "profit", "millions", "billions", "percent", "per share"} <= {each.name for each in found}


def test_report_and_figures_call_slices_exploratory(tmp_path: Path) -> None:
    findings = findings_of(sliced_suite(), lambda _: "7", right_for(0.9))
    findings = replace(findings, slices=found_in(sliced_suite()))
    page = render(findings, "2026-01-02T03:04:05Z")
    assert "Exploratory: 2 slices" in page and "result: loss" in page
    write_report(findings, tmp_path)
    document = json.loads((tmp_path / "report.json").read_text())["slices"]
    assert document["exploratory"] is True and document["leftOut"] == 1
    loss = next(each for each in document["effects"] if each["slice"] == "loss")
    assert (loss["dimension"], loss["difference"], loss["low"], loss["groups"]) == ("result", 1.0, 1.0, 20)
