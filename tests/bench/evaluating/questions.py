"""The questions that both sides answer: of the finance suite, in the tokens of the model."""

from __future__ import annotations

from pathlib import Path

from finetune_api.evaluation import Decoding
from finetune_api.orders import Location, ModelLocation, SuiteLocation
from finetune_trainer.evaluation.questions import QuestionTask, context_length, encode_questions, load_questions
from finetune_trainer.evaluation.subject import KnownBases, Subject, find_subject
from finetune_trainer.reporting import Reporter

PER_TASK = 40
"""A task's common beginning goes through our model once: with very few questions that would hardly show."""
ROWS = 8
"""Rows of a batch, for both."""


def subject_of(model: Path, reporter: Reporter) -> Subject:
    base = Location(volume=str(model.parent), path=model.name, manifest_field="spec.model.baseModel")
    return find_subject(ModelLocation(name="base", base_model=base), KnownBases(reporter))


def question_tasks(subject: Subject) -> list[QuestionTask]:
    suite = load_questions(SuiteLocation(builtin="finance", limit_per_task=PER_TASK))
    context, tokenizer = context_length(subject.base.config), subject.tokenizer()
    return [encode_questions(suite, task, tokenizer, Decoding(), context) for task in suite.suite.scored_tasks]
