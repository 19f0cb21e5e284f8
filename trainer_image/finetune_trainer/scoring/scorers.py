"""One answer against its reference: a score between 0 and 1, and whether the answer could be read at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from finetune_trainer.scoring import choices, growth, labels, number_answers, texts
from finetune_trainer.suites import model

SCORING_VERSION = "5"
"""Raised whenever an answer may score differently than before, so that no older scores are reused."""

_HALF = 0.5


@dataclass(frozen=True)
class Score:
    """What an answer earned. An answer that could not be read earned nothing."""

    value: float
    parsed: bool
    parsed_value: str | None


UNPARSABLE = Score(value=0.0, parsed=False, parsed_value=None)


def score(task: model.Task, prediction: str, example: model.Example) -> Score:
    """The score of a prediction, by the task's scorer."""
    if example.reference is None:
        raise ValueError(f"example {example.id!r} of task {task.name!r} has no reference to score an answer by")
    match task.scorer:
        case model.NumberScorer() as scorer:
            return _score_number(scorer, prediction, example.reference)
        case model.LabelScorer() as scorer:
            return _score_label(scorer, prediction, example.reference)
        case model.GrowthScorer() as scorer:
            return _score_growth(scorer, prediction, example.reference)
        case model.ExactScorer() as scorer:
            return _score_exact(scorer, prediction, example.reference)
        case model.SpanScorer() as scorer:
            return _score_span(scorer, prediction, example.reference)
        case model.ChoiceScorer():
            return _score_choice(prediction, example.reference, example.choices or ())
        case model.PerplexityScorer():
            raise ValueError(f"task {task.name!r} measures the likelihood of text; it scores no answers")


def _score_number(scorer: model.NumberScorer, prediction: str, reference: str) -> Score:
    found, expected = number_answers.answer(prediction, scorer.marker), number_answers.last(reference)
    if found is None or expected is None:
        return UNPARSABLE
    tolerance = max(scorer.absolute_tolerance, scorer.relative_tolerance * abs(expected.value))
    same_unit = expected.is_percent or not found.is_percent
    right = same_unit and abs(found.value - expected.value) <= tolerance
    return Score(float(right), parsed=True, parsed_value=_shown(found.value) + ("%" if found.is_percent else ""))


def _score_label(scorer: model.LabelScorer, prediction: str, reference: str) -> Score:
    found = labels.answer(prediction, scorer.labels)
    if found is None:
        return UNPARSABLE
    return Score(float(found.casefold() == reference.casefold()), parsed=True, parsed_value=found)


def _score_growth(scorer: model.GrowthScorer, prediction: str, reference: str) -> Score:
    found, expected = growth.answer(prediction), growth.answer(reference)
    if found is None or expected is None:
        return UNPARSABLE
    value = _HALF * (found.direction is not None and found.direction == expected.direction)
    value += _HALF * _is_size_right(found, expected, scorer.tolerance_points)
    return Score(value, parsed=True, parsed_value=str(found))


def _score_exact(scorer: model.ExactScorer, prediction: str, reference: str) -> Score:
    found = texts.answer(prediction, scorer.marker)
    if found is None or not texts.normalised(found):
        return UNPARSABLE
    said, wanted = (
        texts.normalised(each, ignore_case=scorer.ignore_case, ignore_punctuation=scorer.ignore_punctuation)
        for each in (found, reference)
    )
    return Score(float(said == wanted), parsed=True, parsed_value=found)


def _score_span(scorer: model.SpanScorer, prediction: str, reference: str) -> Score:
    found = texts.answer(prediction, scorer.marker)
    if found is None or not texts.has_words(found):
        return UNPARSABLE
    return Score(texts.span_f1(found, reference), parsed=True, parsed_value=found)


def _score_choice(prediction: str, reference: str, offered: Sequence[str]) -> Score:
    found = choices.index_of(prediction, offered)
    if found is None:
        return UNPARSABLE
    return Score(float(found == choices.index_of(reference, offered)), parsed=True, parsed_value=offered[found])


def _is_size_right(found: growth.Growth, expected: growth.Growth, tolerance: Decimal) -> bool:
    """Where the answer names no direction, a rise and a fall of that size are equally near."""
    if found.percent is None or expected.percent is None:
        return False
    wanted = abs(expected.percent) if found.direction is None else expected.percent
    return abs(found.percent - wanted) <= tolerance


def _shown(value: Decimal) -> str:
    return f"{value.normalize():f}"
