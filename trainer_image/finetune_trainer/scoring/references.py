"""A reference must be readable by the very scorer that will use it, or every answer would be wrong."""

from __future__ import annotations

from finetune_trainer.scoring import choices, growth, number_answers, numbers, texts
from finetune_trainer.suites import model


def fault(scorer: model.Scorer, reference: str) -> str | None:
    """What keeps the scorer from using this reference, with the remedy; None when it is fine."""
    match scorer:
        case model.NumberScorer() if not _is_one_number(reference):
            return f"{reference!r} is not one number; write it as in '1.23' or '-0.45'"
        case model.LabelScorer(labels=known) if reference.casefold() not in {label.casefold() for label in known}:
            return f"{reference!r} is not one of the labels {', '.join(known)}"
        case model.GrowthScorer() if not _is_whole_growth(reference):
            return f"{reference!r} is not a direction and a percentage; write it as in 'up 12.5%' or 'down 3.0%'"
        case model.ExactScorer() | model.SpanScorer() if not texts.has_words(reference):
            return f"{reference!r} has no word or figure to compare an answer with"
        case _:
            return None


def choice_fault(example: model.Example) -> str | None:
    """The same of a multiple-choice example, whose reference is one of its choices."""
    if example.choices is None:
        return "choices: missing; a choice task needs the list of answers to choose from"
    if choices.index_of(example.reference or "", example.choices) is None:
        return f"reference: {example.reference!r} is none of the choices, nor the letter of one"
    return None


def _is_one_number(reference: str) -> bool:
    return len(list(numbers.find_numbers(reference))) == 1 and number_answers.last(reference) is not None


def _is_whole_growth(reference: str) -> bool:
    found = growth.answer(reference)
    return found is not None and found.direction is not None and found.percent is not None
