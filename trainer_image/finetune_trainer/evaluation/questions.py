"""The suite that an order names, and its examples as the tokens that a model reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_api.conditions import Reason
from finetune_api.evaluation import Decoding
from finetune_api.orders import SuiteLocation
from finetune_trainer.chat_template import Messages
from finetune_trainer.failures import UserError
from finetune_trainer.locations import resolve_folder
from finetune_trainer.suites.load import builtin_suite_folder, load_suite
from finetune_trainer.suites.model import Example, LoadedSuite, SuiteError, Task
from finetune_trainer.suites.selection import select_each
from finetune_trainer.suites.shots import with_shots
from finetune_trainer.suites.splitting import take
from finetune_trainer.tokenization import EncodingError, Tokenizer

Tokens = tuple[int, ...]

_CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "max_seq_len")


@dataclass(frozen=True)
class Question:
    """An example that asks for an answer, as the model reads it."""

    example: Example
    tokens: Tokens


@dataclass(frozen=True)
class QuestionTask:
    """A task whose answers are scored."""

    task: Task
    questions: tuple[Question, ...]
    max_new_tokens: int


@dataclass(frozen=True)
class RawText:
    """A text whose likelihood is measured. The first of its tokens is only there for the second to follow."""

    example: Example
    tokens: Tokens
    utf8_bytes: int


@dataclass(frozen=True)
class TextTask:
    """A task of raw texts."""

    task: Task
    texts: tuple[RawText, ...]


def load_questions(suite: SuiteLocation) -> LoadedSuite:
    """The suite with as many examples as the order wants. UserError (SuiteInvalid) says file, line and remedy."""
    with _suite_errors(suite):
        return select_each(take(load_suite(_folder(suite)), suite.split), suite.limit_per_task)


def as_put(asked: LoadedSuite, suite: SuiteLocation, shots: int) -> LoadedSuite:
    """The suite's questions as they are put to a model that is shown so many worked examples."""
    with _suite_errors(suite):
        return with_shots(asked, load_suite(_folder(suite)), shots) if shots else asked


@contextmanager
def _suite_errors(suite: SuiteLocation) -> Iterator[None]:
    try:
        yield
    except SuiteError as error:
        field = suite.location.manifest_field if suite.location else "spec.suite.builtin"
        raise UserError(Reason.SUITE_INVALID, f"{field}: {error}") from error


def _folder(suite: SuiteLocation) -> Path:
    if suite.location is not None:
        return resolve_folder(suite.location, Reason.SUITE_INVALID)
    if suite.builtin is not None:
        return builtin_suite_folder(suite.builtin)
    raise UserError(Reason.ORDER_INVALID, "suite: neither builtin nor location is given")


def context_length(config: Mapping[str, Any]) -> int | None:
    """How many tokens the model can look back on; None where its configuration does not say."""
    lengths = (config.get(name) for name in _CONTEXT_FIELDS)
    return next((length for length in lengths if isinstance(length, int) and length > 0), None)


def encode_questions(
    suite: LoadedSuite, task: Task, tokenizer: Tokenizer, decoding: Decoding, context: int | None
) -> QuestionTask:
    """A task's prompts. UserError (SuiteInvalid) when one does not fit the model."""
    limit = min(decoding.max_new_tokens, task.max_new_tokens)
    questions = tuple(Question(example, _prompt(tokenizer, example)) for example in suite.examples[task.name])
    for question in questions:
        check_length(example=question.example, prompt=len(question.tokens), answer=limit, context=context)
    return QuestionTask(task, questions, limit)


def encode_texts(suite: LoadedSuite, task: Task, tokenizer: Tokenizer) -> TextTask:
    """A perplexity task's texts."""
    return TextTask(task, tuple(_raw_text(tokenizer, example) for example in suite.examples[task.name]))


def body(tokenizer: Tokenizer, example: Example) -> str | Messages:
    """What is put to the model: raw text, or messages for its chat template."""
    if example.prompt is not None:
        return example.prompt
    messages = _messages(example)
    return messages if tokenizer.has_chat_template else "\n\n".join(message["content"] for message in messages)


def refused_by_template(example: Example, error: EncodingError) -> UserError:
    return UserError(Reason.SUITE_INVALID, f"spec.suite: example {example.id!r}: {error}")


def _prompt(tokenizer: Tokenizer, example: Example) -> Tokens:
    asked = body(tokenizer, example)
    try:
        return tokenizer.encode_text(asked) if isinstance(asked, str) else tokenizer.encode_messages(asked)
    except EncodingError as error:
        raise refused_by_template(example, error) from error


def _messages(example: Example) -> Messages:
    return [{"role": message.role, "content": message.content} for message in example.messages or ()]


def check_length(example: Example, *, prompt: int, answer: int, context: int | None) -> None:
    """UserError (SuiteInvalid) where prompt and answer, in tokens, are more than the model looks back on."""
    if context is not None and prompt + answer > context:
        raise UserError(
            Reason.SUITE_INVALID,
            f"spec.suite: example {example.id!r} takes {prompt} tokens and its answer up to "
            f"{answer}, but the model looks back on {context}: shorten the example or take it out",
        )


def _raw_text(tokenizer: Tokenizer, example: Example) -> RawText:
    text = example.text or ""
    return RawText(example, _with_a_start(tokenizer, tokenizer.encode_text(text)), len(text.encode()))


def _with_a_start(tokenizer: Tokenizer, tokens: Sequence[int]) -> Tokens:
    """A text needs a token before its first, or else nothing would say how likely the first one is.

    That is what the tokenizer itself puts in front of a text; otherwise the model's end token, which in training stands
    between documents. What the tokenizer puts behind a text is not the text's, and goes.
    """
    around = tokenizer.encode_text("")
    if around and tokens[:1] == around[:1]:
        behind = len(around) - 1
        return tuple(tokens[: len(tokens) - behind])
    end = tokenizer.end_token_id
    return (tokenizer.padding_token_id if end is None else end, *tokens)
