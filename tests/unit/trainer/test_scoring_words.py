"""Answers that are words: exact, by shared words, and chosen from a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.evaluation.choices import likeliest
from finetune_trainer.scoring import choices, scorers, texts
from finetune_trainer.suites import model


def a_task(**scorer: object) -> model.Task:
    return model.Task.model_validate({"name": "t", "title": "t", "scorer": scorer, "examples": "t.jsonl"})


def score(task: model.Task, prediction: str, reference: str, offered: tuple[str, ...] | None = None) -> scorers.Score:
    example = model.Example(id="1", task="t", group="g", prompt="?", reference=reference, choices=offered)
    return scorers.score(task, prediction, example)


@pytest.mark.parametrize(
    ("prediction", "reference", "value"),
    [
        ("Net income", "net income", 1.0),
        ("net  income.\n", "Net Income", 1.0),
        ("**Net income**", "net income", 1.0),
        ("$1,234.50", "$1234.50", 1.0),
        ("-0.45", "0.45", 0.0),
        ("4.5", "45", 0.0),
        ("net income rose", "net income", 0.0),
        ("it's", "it’s", 1.0),
    ],
)
def test_an_exact_answer_is_the_reference_but_for_case_and_punctuation(
    prediction: str, reference: str, value: float
) -> None:
    assert score(a_task(kind="exact"), prediction, reference).value == value


def test_case_and_punctuation_count_where_the_suite_says_so() -> None:
    strict = a_task(kind="exact", ignoreCase=False, ignorePunctuation=False)
    assert [score(strict, each, "B.").value for each in ("B.", " B. ", "b.", "B")] == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("prediction", "value", "parsed"),
    [
        ("The unit was sold.\nAnswer: Boreal Foods\nBecause it says so.", 1.0, True),
        ("answer: Boreal Foods\nAnswer: Boreal Foods.", 1.0, True),
        ("Answer: Boreal Foods\nAnswer: Acme", 0.0, False),
        ("Answer:", 0.0, False),
        ("", 0.0, False),
        ("Boreal Foods", 1.0, True),
    ],
)
def test_what_stands_after_the_marker_is_the_answer(prediction: str, value: float, parsed: bool) -> None:
    found = score(a_task(kind="exact", marker="Answer:"), prediction, "Boreal Foods")
    assert (found.value, found.parsed) == (value, parsed)


@pytest.mark.parametrize(
    ("prediction", "reference", "value"),
    [
        ("the board of directors", "Board of Directors", 1.0),
        ("the board", "board of directors", 0.5),
        ("sales sales sales", "sales", 0.5),
        ("of the an", "of", 1.0),
        ("profit", "loss", 0.0),
        ("-0.45", "0.45", 0.0),
    ],
)
def test_a_span_is_graded_by_shared_words(prediction: str, reference: str, value: float) -> None:
    assert score(a_task(kind="span"), prediction, reference).value == pytest.approx(value)


@given(st.text(max_size=60), st.text(max_size=60))
def test_shared_words_are_counted_alike_in_both_directions(one: str, other: str) -> None:
    value = texts.span_f1(one, other)
    assert 0 <= value <= 1
    assert value == texts.span_f1(other, one)
    assert texts.span_f1(one, one) == float(texts.has_words(one))


@given(st.text(max_size=60))
def test_what_is_normalised_once_stays_as_it_is(text: str) -> None:
    once = texts.normalised(text)
    assert texts.normalised(once, ignore_punctuation=False) == once


@pytest.mark.parametrize(
    ("text", "index"),
    [("up", 0), ("DOWN.", 1), ("a", 0), ("(B)", 1), ("b.", 1), ("C", 2), ("D", None), ("", None), ("up or down", None)],
)
def test_a_choice_is_named_by_its_words_or_its_letter(text: str, index: int | None) -> None:
    assert choices.index_of(text, ("up", "down", "flat")) == index


def test_words_go_before_letters() -> None:
    assert choices.index_of("B", ("C", "A", "B")) == 2


def test_a_chosen_answer_is_right_or_wrong() -> None:
    offered = ("up", "down")
    found = score(a_task(kind="choice"), "down", "B", offered)
    assert (found.value, found.parsed_value) == (1.0, "down")
    assert score(a_task(kind="choice"), "up", "B", offered).value == 0.0
    assert not score(a_task(kind="choice"), "sideways", "B", offered).parsed


def test_the_likeliest_choice_is_the_one_with_the_fewest_nats_for_each_byte() -> None:
    offered = ("up", "considerably down", "é")
    example = model.Example(id="1", task="t", group="g", prompt="?", reference="up", choices=offered)
    assert likeliest(example, [4.0, 17.0, 9.0]) == "considerably down"
    assert likeliest(example, [4.0, 34.0, 3.9]) == "é"
    assert likeliest(example, [4.0, 34.0, 4.0]) == "up"
