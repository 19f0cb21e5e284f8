"""An answer's figures stand in its text or follow from it; what does not is told, and little else."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.dataset.quality.consistency import check_consistency
from finetune_trainer.dataset.quality.passages import Text, texts_of
from finetune_trainer.dataset.reading import NumberedExample
from finetune_trainer.dataset.shapes import example_of, shape_of
from finetune_trainer.dataset_command.parts import Part
from finetune_trainer.dataset_command.rows import Recipe, rows
from finetune_trainer.dataset_command.subjects import Difficulty, Task
from finetune_trainer.suites.generate import training_rows

_EPS = "Give the diluted EPS. Answer like this: EPS: 1.23"


def said(source: str, answer: str, instruction: str = "") -> str | None:
    finding = check_consistency(Text(7, instruction, source, answer))
    return None if finding is None else finding.detail


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("It earned $3.06 a share.", "EPS: 3.06"),
        ("Net income was $151.8 million; 220 million diluted shares were outstanding.", "EPS: 0.69"),
        ("Revenue was $560 million, after $700 million.", "down 20.0%"),
        ("Revenue was $700 million, after $560 million.", "It grew by 25%."),
        ("Costs were $12.5 million and $7.5 million.", "$20 million"),
        ("Revenue was $5.2 million.", "$5,200,000"),
        ("Revenue (in thousands): 5,200", "$5.2 million"),
        ("The deficit per share was $8.74.", "EPS: -8.74"),
        ("The loss was $0.45 a share.", "EPS: (0.45)"),
        ("How large was the net loss? It lost $4 million.", "$4 million"),
        ("The tax rate was 0.21.", "21%"),
        ("Sales were 400 and profit 100.", "The margin is 25%."),
        ("What is EBITDA?", "Earnings before 4 things."),
        ("It earned $2.", "It earned $2 in 2024, and may do so for the next 3 years if nothing at all happens."),
        ("Revenue rose to $19.47 billion.", "$19.5 billion"),
        ("Net result: ($432.0) million. Diluted shares, in thousands: 100,000.", "EPS: -4.32"),
        ("Revenue changed by (12.5)% in the year.", "down 12.5%"),
        ("Revenue fell 12% in the quarter.", "-12%"),
        ("The net loss grew by 12%.", "The result fell by 12%."),
        ("Sales grew 3% there and fell 3% here.", "down 3%"),
        ("At $2.00 each it sold 150 of them.", "$300"),
        ("12% of its $50 million of sales were abroad.", "$6 million"),
    ],
)
def test_what_stands_there_or_follows_is_let_pass(source: str, answer: str) -> None:
    assert said(source, answer, _EPS) is None


@pytest.mark.parametrize(
    ("source", "answer", "what"),
    [
        ("It earned $3.06 a share.", "EPS: 4.11", "neither stands in the text"),
        ("It earned $3.06 a share.", "EPS: -3.06", "is negative, but the text tells of no loss"),
        ("The loss per share was $3.06.", "EPS: 3.06", "is positive, but the text tells it as a loss"),
        ("It had a net loss per share of $3.06.", "EPS: 3.06", "is positive, but the text tells it as a loss"),
        ("Revenue was $560 million, after $700 million.", "up 20.0%", "wrong direction"),
        ("Revenue was $5.2 million.", "$5.2 billion", "another scale"),
        ("Revenue was $5.2 million.", "5.2%", "another unit"),
        ("Revenue rose 12% in the quarter.", "down 12%", "the text tells it the other way"),
        ("Revenue fell 12% in the quarter.", "It grew by 12%.", "the text tells it the other way"),
        ("Revenue rose 12% to $1.2 billion, from $1.07 billion.", "$12 billion", "another scale"),
    ],
)
def test_what_does_not_follow_is_told(source: str, answer: str, what: str) -> None:
    assert what in (said(source, answer, _EPS) or "")


def generated() -> tuple[Text, ...]:
    rows = training_rows(80)
    return texts_of([NumberedExample(line, example_of(row, shape_of(row))) for line, row in enumerate(rows, start=1)])


def test_right_answers_raise_no_alarm() -> None:
    assert [text for text in generated() if check_consistency(text) is not None] == []


def test_right_answers_of_the_generated_dataset_raise_no_alarm() -> None:
    recipe = Recipe(7, Difficulty.MIXED, tuple(Task), date(2023, 12, 31))
    examples = [example_of(each, shape_of(each)) for each in map(asdict, rows(recipe, Part.TRAIN, 3000))]
    texts = texts_of([NumberedExample(line, example) for line, example in enumerate(examples, start=1)])
    assert [text for text in texts if check_consistency(text) is not None] == []


def test_wrong_figures_are_found_in_nineteen_of_twenty() -> None:
    reported = [text for text in generated() if "EPS:" in text.answer]
    wrong = [replace(text, answer=f"EPS: {37.19 + text.line / 50:.2f}") for text in reported]
    assert len(wrong) == 80
    assert sum(check_consistency(text) is not None for text in wrong) >= 76


@given(st.decimals("0.01", "99999", places=2), st.sampled_from(["${} million", "{}%", "${}", "€{} billion"]))
def test_a_figure_follows_from_itself(figure: object, form: str) -> None:
    written = form.format(figure)
    assert said(f"The report gives {written} for the year.", written) is None


@given(st.text(), st.text())
def test_any_text_can_be_checked(source: str, answer: str) -> None:
    said(source, answer)
