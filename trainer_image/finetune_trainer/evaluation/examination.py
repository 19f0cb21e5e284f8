"""The work of an evaluation, cut into batches, each of which ends in scored predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from finetune_trainer.evaluation.batches import batches, common_beginning
from finetune_trainer.evaluation.choices import ChoiceTask, choice_batches
from finetune_trainer.evaluation.generation import Generator, Prefix
from finetune_trainer.evaluation.likelihood import TOKENS_AT_ONCE, Window, negative_log_likelihoods, windows
from finetune_trainer.evaluation.memory import in_portions_that_fit
from finetune_trainer.evaluation.questions import Question, QuestionTask, RawText, TextTask, Tokens
from finetune_trainer.scoring.predictions import ScoredPrediction, likelihood_record, scored_prediction
from finetune_trainer.tokenization import EncodedExample, Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS = 64
TOKENS = 8192
"""A batch of answers, with prompts and what is generated: 7 GB of attention cache for Llama-2-13B in bfloat16."""


class Batch(Protocol):
    """Examples that are worked on together."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Which examples."""

    @property
    def work(self) -> int:
        """Tokens that go through the model, at most."""

    def carry_out(self, examiner: Examiner) -> list[ScoredPrediction]:
        """The predictions, in the order of the examples."""


class Examiner:
    """A model with what it takes to question it."""

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer, end_tokens: frozenset[int], window: int) -> None:
        self._generator = Generator(model, end_tokens)
        self._model = model
        self._tokenizer = tokenizer
        self._window = window
        self._remembered: dict[Tokens, Prefix] = {}

    @property
    def attention(self) -> str:
        """The attention's kernel that the model was loaded with, as transformers names it."""
        return str(self._model.config._attn_implementation)  # transformers has no other name for it

    def answer(self, prompts: Sequence[Tokens], prefix: Tokens, max_new_tokens: int) -> list[str]:
        """The model's answers as text."""
        remembered = self._remember(prefix)
        answers = in_portions_that_fit(lambda some: self._generator.answer(some, remembered, max_new_tokens), prompts)
        return [self._tokenizer.decode(answer) for answer in answers]

    def negative_log_likelihood(self, texts: Sequence[Tokens]) -> list[float]:
        """Nats of each text."""
        return self._nats([windows(text, self._window) for text in texts])

    def completions(self, offered: Sequence[EncodedExample]) -> list[float]:
        """Nats of each completion after its prompt."""
        return self._nats([[Window(each.tokens, each.prompt_length)] for each in offered])

    def _nats(self, texts: Sequence[Sequence[Window]]) -> list[float]:
        """Nats of the unseen tokens of each text's windows."""
        numbered = [(number, window) for number, pieces in enumerate(texts) for window in pieces]
        sums = [0.0] * len(texts)
        for some in batches(numbered, lambda each: len(each[1].tokens), rows=ROWS, tokens=TOKENS_AT_ONCE):
            found = self._likelihoods_of([window for _, window in some])
            for (number, _), value in zip(some, found, strict=True):
                sums[number] += value
        return sums

    def _likelihoods_of(self, some: Sequence[Window]) -> list[float]:
        return in_portions_that_fit(lambda few: negative_log_likelihoods(self._model, few), some)

    def _remember(self, tokens: Tokens) -> Prefix:
        """The prefix of the task at hand: batches come task by task, so one is enough to keep."""
        if tokens not in self._remembered:
            self._remembered = {tokens: self._generator.prefix(tokens)}
        return self._remembered[tokens]


@dataclass(frozen=True)
class AnswerBatch:
    """Questions of one task, and what all the task's prompts begin with."""

    task: QuestionTask
    questions: tuple[Question, ...]
    prefix: Tokens

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(question.example.id for question in self.questions)

    @property
    def work(self) -> int:
        longest = max(len(question.tokens) for question in self.questions)
        return len(self.questions) * (longest - len(self.prefix) + self.task.max_new_tokens)

    def carry_out(self, examiner: Examiner) -> list[ScoredPrediction]:
        prompts = [question.tokens for question in self.questions]
        answers = examiner.answer(prompts, self.prefix, self.task.max_new_tokens)
        return [
            scored_prediction(self.task.task, question.example, answer)
            for question, answer in zip(self.questions, answers, strict=True)
        ]


@dataclass(frozen=True)
class TextBatch:
    """Raw texts of one task."""

    texts: tuple[RawText, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(text.example.id for text in self.texts)

    @property
    def work(self) -> int:
        return sum(len(text.tokens) for text in self.texts)

    def carry_out(self, examiner: Examiner) -> list[ScoredPrediction]:
        found = examiner.negative_log_likelihood([text.tokens for text in self.texts])
        return [
            likelihood_record(text.example, value, text.utf8_bytes)
            for text, value in zip(self.texts, found, strict=True)
        ]


def batches_of(task: QuestionTask | ChoiceTask | TextTask, rows: int | None = None) -> list[Batch]:
    """A task's examples in batches of at most so many rows; without a number, as many as are usual."""
    if isinstance(task, ChoiceTask):
        return [*choice_batches(task, rows)]
    if isinstance(task, TextTask):
        return _text_batches(task, rows or ROWS)
    return _answer_batches(task, rows or ROWS)


def _answer_batches(task: QuestionTask, rows: int) -> list[Batch]:
    prefix = common_beginning([question.tokens for question in task.questions])
    cut = batches(task.questions, lambda each: len(each.tokens) + task.max_new_tokens, rows=rows, tokens=TOKENS)
    return [AnswerBatch(task, questions, prefix) for questions in cut]


def _text_batches(task: TextTask, rows: int) -> list[Batch]:
    cut = batches(task.texts, lambda each: len(each.tokens), rows=rows, tokens=TOKENS_AT_ONCE)
    return [TextBatch(texts) for texts in cut]
