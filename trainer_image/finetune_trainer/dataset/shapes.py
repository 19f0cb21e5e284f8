"""The three shapes that a line of a dataset may have, and what is wrong with one that has none of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from finetune_trainer.dataset.examples import Conversation, Example, Message, PromptCompletion, Role

Document = dict[str, Any]


class BadExampleError(ValueError):
    """Why a line cannot be used, and what would be right."""


class Shape(StrEnum):
    """Named by its keys."""

    INSTRUCTION = "instruction/input/output"
    PROMPT = "prompt/completion"
    MESSAGES = "messages"


_MARKS: dict[Shape, frozenset[str]] = {
    Shape.INSTRUCTION: frozenset({"instruction", "output"}),
    Shape.PROMPT: frozenset({"prompt", "completion"}),
    Shape.MESSAGES: frozenset({"messages"}),
}
"""Keys that only this shape has: any of them tells which shape was meant."""

_SHAPES_WORDED = ", ".join(Shape)


def shape_of(document: Document) -> Shape:
    """Which shape was meant, also where a key is missing."""
    meant = [shape for shape, marks in _MARKS.items() if marks & document.keys()]
    if not meant:
        keys = ", ".join(document) or "none"
        raise BadExampleError(f"keys of no known shape ({keys}): give the keys of one of {_SHAPES_WORDED}")
    if len(meant) > 1:
        raise BadExampleError(f"keys of several shapes ({' and '.join(meant)}): give the keys of one")
    return meant[0]


def example_of(document: Document, shape: Shape) -> Example:
    """The example that a line of this shape holds; BadExampleError says what is wrong with it."""
    return _READERS[shape](document)


def user_message(instruction: str, text: str) -> str:
    """Instruction and input, joined as the evaluation suites join theirs."""
    return f"{instruction}\n\n{text}" if text else instruction


def _from_instruction(document: Document) -> Example:
    instruction = _filled_text(document, "instruction")
    text = _text(document, "input") if "input" in document else ""
    return PromptCompletion(user_message(instruction, text), _target(document, "output"))


def _from_prompt(document: Document) -> Example:
    return PromptCompletion(_filled_text(document, "prompt"), _target(document, "completion"))


def _from_messages(document: Document) -> Example:
    messages = document["messages"]
    if not isinstance(messages, list):
        raise BadExampleError(f"'messages' must be a list of role and content, not {_described(messages)}")
    turns = tuple(_message(number, message) for number, message in enumerate(messages, start=1))
    _check_order(turns)
    return Conversation(turns)


def _message(number: int, message: Any) -> Message:
    where = f"message {number}"
    if not isinstance(message, dict):
        raise BadExampleError(f"{where} must be an object with role and content, not {_described(message)}")
    role = _text(message, "role", where)
    if role not in set(Role):
        raise BadExampleError(f"{where} has the role '{role}': it must be one of {', '.join(Role)}")
    content = _text(message, "content", where)
    if not content.strip():
        raise BadExampleError(f"{where} ({role}) is empty")
    return Message(Role(role), content)


def _check_order(turns: tuple[Message, ...]) -> None:
    if not any(turn.role is Role.USER for turn in turns):
        raise BadExampleError("'messages' has no message of the user")
    if turns[-1].role is not Role.ASSISTANT:
        raise BadExampleError("the last message must be the assistant's: it is what is learnt")
    if any(turn.role is Role.SYSTEM for turn in turns[1:]):
        raise BadExampleError("only the first message may be the system's")


def _target(document: Document, key: str) -> str:
    text = _text(document, key)
    if not text.strip():
        raise BadExampleError(f"'{key}' is empty: there is nothing to learn from the line")
    return text


def _filled_text(document: Document, key: str) -> str:
    text = _text(document, key)
    if not text.strip():
        raise BadExampleError(f"'{key}' is empty")
    return text


def _text(document: Document, key: str, where: str | None = None) -> str:
    named = f"'{key}'" if where is None else f"'{key}' of {where}"
    if key not in document:
        raise BadExampleError(f"{named} is missing")
    value = document[key]
    if not isinstance(value, str):
        raise BadExampleError(f"{named} must be text in quotes, not {_described(value)}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise BadExampleError(f"{named} holds half of a character (a lone surrogate such as \\ud83d)")
    return value


def _described(value: Any) -> str:
    """A JSON value that is no text, in words."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "text" if isinstance(value, str) else f"the number {value}"


_READERS: dict[Shape, Callable[[Document], Example]] = {
    Shape.INSTRUCTION: _from_instruction,
    Shape.PROMPT: _from_prompt,
    Shape.MESSAGES: _from_messages,
}
