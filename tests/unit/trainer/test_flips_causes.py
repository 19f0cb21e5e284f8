"""Why a wrong answer is wrong."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled_errors import LabelledError, labelled_errors, macro_f1

from finetune_api.comparison import ErrorCause
from finetune_trainer.flips.causes import cause_of
from finetune_trainer.flips.flips import counts, flips
from finetune_trainer.scoring.predictions import scored_prediction
from finetune_trainer.suites.model import (
    Example,
    GrowthScorer,
    LabelScorer,
    LoadedSuite,
    NumberScorer,
    PerplexityScorer,
    Scorer,
    Suite,
)

EPS = NumberScorer(marker="EPS:", absolute_tolerance=Decimal("0.005"))
GROWTH = GrowthScorer()
MOOD = LabelScorer(labels=("positive", "negative", "neutral"))
STATED = "Give the EPS. Answer like this: EPS: 1.23\n\nIt earned $2.14 per share in 2023, against $1.87 in 2022."


def half(name: str) -> list[LabelledError]:
    return [each for each in labelled_errors() if each.half == name]


def test_each_of_seven_causes_has_fifty_labelled_examples_half_of_them_unseen() -> None:
    found = Counter((each.half, each.cause) for each in labelled_errors())
    wanted = set(ErrorCause) - {ErrorCause.UNKNOWN}
    assert found == {(half, cause): 25 for half in ("development", "test") for cause in wanted}
    assert len({(each.question, each.prediction) for each in labelled_errors()}) == 350


def test_causes_are_found_in_answers_that_the_rules_were_not_made_for() -> None:
    """0.983 when it was first measured, before any rule was changed."""
    assert macro_f1(half("test")) >= 0.95


@pytest.mark.parametrize(
    ("scorer", "question", "reference", "answer", "cause"),
    [
        (EPS, STATED, "2.14", "EPS: 1.87", ErrorCause.WRONG_PERIOD),
        (EPS, STATED, "2.14", "EPS: -2.14", ErrorCause.WRONG_SIGN),
        (EPS, STATED, "2.14", "EPS: 1.23", ErrorCause.HALLUCINATED),
        (EPS, STATED, "2.14", "EPS: 2.15", ErrorCause.HALLUCINATED),
        (EPS, "It earned $2.14 in 2023, $2.15 in 2022.", "2.14", "EPS: 2.15", ErrorCause.WRONG_PERIOD),
        (EPS, STATED, "2.14", "Sorry, EPS: 1.87", ErrorCause.WRONG_PERIOD),
        (EPS, "It earned $2.14 per share. The adjusted figure is $2.90.", "2.14", "EPS: 2.90", ErrorCause.UNKNOWN),
        (EPS, "Shares closed at $41.20; it earned $2.14 each.", "2.14", "EPS: 41.20", ErrorCause.UNKNOWN),
        (EPS, "", "0", "EPS: 3", ErrorCause.HALLUCINATED),
        (GROWTH, "Sales: 100 million, then 125 million.", "up 25.0%", "up 20%", ErrorCause.ARITHMETIC),
        (GROWTH, "Sales: 100 million, then 125 million.", "up 25.0%", "up", ErrorCause.FORMAT),
        (GROWTH, "", "up 25.0%", "25%", ErrorCause.FORMAT),
        (MOOD, "Good news.", "positive", "negative", ErrorCause.UNKNOWN),
        (MOOD, "Good news.", "positive", "positive or negative", ErrorCause.FORMAT),
        (PerplexityScorer(), "", "a", "b", ErrorCause.UNKNOWN),
    ],
)
def test_the_first_cause_that_applies_is_named(
    scorer: Scorer, question: str, reference: str, answer: str, cause: ErrorCause
) -> None:
    assert cause_of(question, reference, answer, scorer) is cause


@given(
    st.text(),
    st.sampled_from(["2.14", "-0.5", "up 3.0%", "positive", "0", "nonsense"]),
    st.text() | st.from_regex(r"(EPS: )?-?\d{1,40}(\.\d+)?%?( million)?"),
    st.sampled_from([EPS, GROWTH, MOOD]),
)
def test_no_answer_is_without_a_cause(question: str, reference: str, answer: str, scorer: Scorer) -> None:
    assert cause_of(question, reference, answer, scorer) in ErrorCause


def test_flips_are_the_changed_scores_and_each_counts_once_by_its_cause() -> None:
    task = {"name": "eps", "title": "EPS", "scorer": {"kind": "number"}, "examples": "e.jsonl"}
    suite = Suite.model_validate({"name": "s", "version": "1", "title": "S", "tasks": [task]})
    examples = tuple(Example(id=str(n), task="eps", group="g", prompt=STATED, reference="2.14") for n in range(5))
    loaded = LoadedSuite(suite, {"eps": examples})
    base, tuned = (
        [scored_prediction(suite.tasks[0], *pair) for pair in zip(examples, answers, strict=True)]
        for answers in (
            ("1.87", "2.14", "2.14", "I cannot tell.", "7"),
            ("2.14", "-2.14", "2.14", "2.14", "8"),
        )
    )
    found = flips(loaded, base, tuned)
    assert [(flip.id, flip.improved) for flip in found] == [("0", True), ("1", False), ("3", True)]
    assert [(each.cause, each.improved, each.regressed) for each in counts(found)] == [
        (ErrorCause.REFUSAL, 1, 0),
        (ErrorCause.WRONG_SIGN, 0, 1),
        (ErrorCause.WRONG_PERIOD, 1, 0),
    ]
    assert {flip.cause for flip in flips(loaded, base, tuned, untold={"0", "1", "3"})} == {ErrorCause.UNKNOWN}
