"""Multiple choice by likelihood: no answer is generated; the choice that the model finds likeliest is its answer.

The log-likelihood of a choice is that of its tokens after the prompt, divided by its UTF-8 bytes, so that a long choice
is not unlikely for its length alone (Brown et al., arXiv:2005.14165, section 2.4, divides by tokens; bytes are the same
for every tokenizer).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune_api.evaluation import Decoding
from finetune_trainer.evaluation.batches import batches
from finetune_trainer.evaluation.questions import (
    QuestionTask,
    body,
    check_length,
    encode_questions,
    refused_by_template,
)
from finetune_trainer.scoring.predictions import ScoredPrediction, scored_prediction
from finetune_trainer.suites.model import ChoiceScorer, Example, LoadedSuite, Task
from finetune_trainer.tokenization import EncodedExample, EncodingError, Tokenizer

if TYPE_CHECKING:
    from finetune_trainer.evaluation.examination import Examiner

ROWS = 16
TOKENS = 16_384
"""A batch is what a stop waits for and what a crash costs; the model itself gets smaller portions."""


@dataclass(frozen=True)
class ChoiceQuestion:
    """An example with each of its choices after the prompt, as the model reads them."""

    example: Example
    offered: tuple[EncodedExample, ...]

    @property
    def work(self) -> int:
        return sum(len(each.tokens) for each in self.offered)


@dataclass(frozen=True)
class ChoiceTask:
    """A task whose answers are chosen."""

    task: Task
    questions: tuple[ChoiceQuestion, ...]


@dataclass(frozen=True)
class ChoiceBatch:
    """Questions of one task."""

    task: Task
    questions: tuple[ChoiceQuestion, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(question.example.id for question in self.questions)

    @property
    def work(self) -> int:
        return sum(question.work for question in self.questions)

    def carry_out(self, examiner: Examiner) -> list[ScoredPrediction]:
        """The likeliest choice of each question, written out."""
        offered = [each for question in self.questions for each in question.offered]
        nats = iter(examiner.completions(offered))
        return [
            scored_prediction(
                self.task, question.example, likeliest(question.example, [next(nats) for _ in question.offered])
            )
            for question in self.questions
        ]


def likeliest(example: Example, nats: Sequence[float]) -> str:
    """The choice with the fewest nats (negative log-likelihood) for each UTF-8 byte; of equal ones the first."""
    offered = example.choices or ()
    by_byte = [value / len(choice.encode()) for choice, value in zip(offered, nats, strict=True)]
    return offered[by_byte.index(min(by_byte))]


def encode_asked(
    suite: LoadedSuite, task: Task, tokenizer: Tokenizer, decoding: Decoding, context: int | None
) -> QuestionTask | ChoiceTask:
    """A scored task's prompts. UserError (SuiteInvalid) when one does not fit the model."""
    if not isinstance(task.scorer, ChoiceScorer):
        return encode_questions(suite, task, tokenizer, decoding, context)
    return ChoiceTask(task, tuple(_question(tokenizer, each, context) for each in suite.examples[task.name]))


def choice_batches(task: ChoiceTask, rows: int | None = None) -> list[ChoiceBatch]:
    cut = batches(task.questions, lambda each: each.work, rows=rows or ROWS, tokens=TOKENS)
    return [ChoiceBatch(task.task, questions) for questions in cut]


def _question(tokenizer: Tokenizer, example: Example, context: int | None) -> ChoiceQuestion:
    asked = body(tokenizer, example)
    try:
        offered = tuple(tokenizer.encode_choice(asked, choice) for choice in example.choices or ())
    except EncodingError as error:
        raise refused_by_template(example, error) from error
    for each in offered:
        check_length(example, prompt=each.prompt_length, answer=each.trainable, context=context)
    return ChoiceQuestion(example, offered)
