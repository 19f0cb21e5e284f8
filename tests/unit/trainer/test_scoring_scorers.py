"""Scores of answers: labels as words, growth in two halves, and nothing for what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.scoring import labels, predictions, scorers
from finetune_trainer.suites import model

LABELS = ("positive", "negative", "neutral")

NUMBER = model.Task.model_validate(
    {
        "name": "eps",
        "title": "EPS",
        "scorer": {"kind": "number", "marker": "EPS:", "absoluteTolerance": "0.005"},
        "examples": "eps.jsonl",
    }
)
LABEL = model.Task.model_validate(
    {"name": "mood", "title": "mood", "scorer": {"kind": "label", "labels": LABELS}, "examples": "mood.jsonl"}
)
GROWTH = model.Task.model_validate(
    {"name": "growth", "title": "growth", "scorer": {"kind": "growth"}, "examples": "growth.jsonl"}
)
PERPLEXITY = model.Task.model_validate(
    {"name": "texts", "title": "texts", "scorer": {"kind": "perplexity"}, "examples": "texts.jsonl"}
)


def an_example(task: model.Task, reference: str) -> model.Example:
    return model.Example(id="one", task=task.name, group="Acme", prompt="?", reference=reference)


def score(task: model.Task, prediction: str, reference: str) -> scorers.Score:
    return scorers.score(task, prediction, an_example(task, reference))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("positive", "positive"),
        ("Positive.", "positive"),
        ("The sentiment is NEGATIVE, clearly.", "negative"),
        ("not positive but negative", "negative"),
        ("neutral: neither positive nor negative", "neutral"),
        ("This is not bad at all. Positive", "positive"),
        ("positive, positive, positive", "positive"),
    ],
)
def test_a_label_that_is_affirmed_is_read(text: str, label: str) -> None:
    assert labels.answer(text, LABELS) == label


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not positive",
        "Not really positive",
        "isn\u2019t positive",
        "non-positive",
        "non\u2011positive",
        "neither positive nor negative",
        "positive or negative",
        "positive/negative",
        "positively",
        "good",
        "positive. No, not positive",
    ],
)
def test_a_label_that_is_denied_missing_or_one_of_several_is_no_answer(text: str) -> None:
    assert labels.answer(text, LABELS) is None


def test_a_longer_label_is_not_taken_for_the_shorter_one_in_it() -> None:
    assert labels.answer("Strong  buy", ("buy", "strong buy")) == "strong buy"


@pytest.mark.parametrize(
    ("prediction", "reference", "value"),
    [
        ("EPS: 1.23", "1.23", 1.0),
        ("EPS: $1.234", "1.23", 1.0),
        ("EPS: 1.24", "1.23", 0.0),
        ("EPS: (0.45)", "-0.45", 1.0),
        ("EPS: 0.45", "-0.45", 0.0),
        ("EPS: 1.23%", "1.23", 0.0),
        ("EPS: 1.23 million", "1.23", 0.0),
    ],
)
def test_a_number_is_right_within_the_tolerance(prediction: str, reference: str, value: float) -> None:
    scored = score(NUMBER, prediction, reference)
    assert (scored.value, scored.parsed) == (value, True)


def test_a_relative_tolerance_follows_the_reference() -> None:
    scorer = {"kind": "number", "relativeTolerance": "0.01"}
    task = model.Task.model_validate(NUMBER.model_dump() | {"scorer": scorer})
    assert score(task, "1009", "1000").value == 1.0
    assert score(task, "1011", "1000").value == 0.0


@pytest.mark.parametrize(
    "prediction",
    [
        "EPS: 1.23 (or 1.45)",
        "EPS: 1.23 1.45",
        "EPS: 1.23 or maybe about 1.45",
        "EPS: not 1.23",
        "EPS: 1.23 mil",
        "EPS: net loss per share of $1.23",
        "The EPS was 1.45. Earlier it was 1.23",
    ],
)
def test_a_number_that_is_one_of_several_denied_scaled_or_of_the_other_sign_is_wrong(prediction: str) -> None:
    assert score(NUMBER, prediction, "1.23").value == 0.0


@pytest.mark.parametrize("prediction", ["EPS: net loss per share of $1.23", "EPS: a loss of 1.23", "EPS: $1.23 loss"])
def test_a_loss_in_words_is_a_negative_number(prediction: str) -> None:
    assert score(NUMBER, prediction, "-1.23").value == 1.0


@pytest.mark.parametrize(
    ("prediction", "reference", "value"),
    [
        ("up 12.5%", "up 12.5%", 1.0),
        ("Revenue increased by 12.3 percent", "up 12.5%", 1.0),
        ("-12.5%", "down 12.5%", 1.0),
        ("down -12.5%", "down 12.5%", 1.0),
        ("Revenue rises 12.5%", "up 12.5%", 1.0),
        ("It surged by 12.5%", "up 12.5%", 1.0),
        ("Sales drops of 12.5%", "down 12.5%", 1.0),
        ("a reduction of 12.5%", "down 12.5%", 1.0),
        ("It contracted 12.5%", "up 12.5%", 0.0),
        ("up 30%", "up 12.5%", 0.5),
        ("up", "up 12.5%", 0.5),
        ("down 12.5%", "up 12.5%", 0.0),
        ("12.5%", "up 12.5%", 0.5),
        ("12.5%", "down 12.5%", 0.5),
        ("30%", "down 12.5%", 0.0),
        ("up 12.5%, not down", "up 12.5%", 1.0),
        ("not up but down 12.5%", "down 12.5%", 1.0),
        ("up, but not 12.5%", "up 12.5%", 0.5),
        ("up 12.5% versus 3.0% a year earlier", "up 12.5%", 1.0),
        ("from 100 to 112.5, up 12.5%", "up 12.5%", 1.0),
    ],
)
def test_growth_earns_half_for_direction_and_half_for_size(prediction: str, reference: str, value: float) -> None:
    scored = score(GROWTH, prediction, reference)
    assert (scored.value, scored.parsed) == (value, True)


UNREADABLE_GROWTH = ["", "yes", "up or down 12.5%", "up -12.5%", "not up", "not up 12.5%", "12.5%, but not up"]
UNREADABLE_GROWTH += ["Revenue did not grow 12.5%", "Revenue didn\u2019t fall by 12.5%", "It failed to rise 12.5%"]


@pytest.mark.parametrize("reference", ["up 12.5%", "down 12.5%"])
@pytest.mark.parametrize("prediction", UNREADABLE_GROWTH)
def test_growth_that_contradicts_itself_or_is_only_denied_is_unparsable(prediction: str, reference: str) -> None:
    assert score(GROWTH, prediction, reference) == scorers.UNPARSABLE


@pytest.mark.parametrize("prediction", ["12.5%", "12.5", "by 12.3 percent", "30%", "0%"])
def test_a_bare_size_earns_the_same_whichever_way_the_figure_went(prediction: str) -> None:
    assert score(GROWTH, prediction, "up 12.5%").value == score(GROWTH, prediction, "down 12.5%").value


@settings(deadline=None)
@given(st.text(max_size=80), st.sampled_from([(NUMBER, "1.23"), (LABEL, "positive"), (GROWTH, "up 12.5%")]))
def test_every_score_lies_between_zero_and_one_and_unread_answers_score_zero(
    prediction: str, asked: tuple[model.Task, str]
) -> None:
    scored = score(asked[0], prediction, asked[1])
    assert 0 <= scored.value <= 1
    assert scored.parsed or scored == scorers.UNPARSABLE


@pytest.mark.parametrize("prediction", ["$" * 1_000_000, "not " * 250_000, "positive " * 110_000, "up 1% " * 30_000])
def test_a_megabyte_of_nonsense_is_scored(prediction: str) -> None:
    for task, reference in ((NUMBER, "1.23"), (LABEL, "positive"), (GROWTH, "up 12.5%")):
        assert 0 <= score(task, prediction, reference).value <= 1


def test_raw_text_is_not_scored_by_answers() -> None:
    with pytest.raises(ValueError, match="likelihood"):
        score(PERPLEXITY, "x", "y")


def test_predictions_survive_the_file_they_are_written_to(tmp_path: Path) -> None:
    answer = predictions.scored_prediction(LABEL, an_example(LABEL, "positive"), "Positive\u2028 \u201cyes\u201d\n")
    text = model.Example(id="two", task="texts", group="Acme", text="A text.")
    likelihood = predictions.likelihood_record(text, 12.5, 7)
    path = tmp_path / "predictions.jsonl"
    path.write_text(f"{answer.to_line()}\n{likelihood.to_line()}\n", encoding="utf-8")
    assert predictions.read_predictions(path) == (answer, likelihood)
    assert (answer.score, answer.parsed, answer.parsed_value) == (1.0, True, "positive")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"id": "a", "task": "t", "group": "g", "prediction": "x", "score": NaN, "parsed": true}',
        '{"id": "a", "task": "t", "group": "g", "prediction": "x", "score": 1.5, "parsed": true}',
        '{"id": "a", "task": "t", "group": "g", "prediction": "x", "score": 1, "parsed": false}',
        '{"id": "a", "task": "t", "group": "g"}',
    ],
)
def test_a_bad_prediction_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text("\n" + line + "\n", encoding="utf-8")
    with pytest.raises(predictions.PredictionsError, match=r"predictions\.jsonl, line 2: "):
        predictions.read_predictions(path)
