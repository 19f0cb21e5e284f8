"""One example to learn from, in the two forms that every shape of a dataset comes down to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True)
class PromptCompletion:
    """A question and the answer to learn."""

    prompt: str
    completion: str

    @property
    def messages(self) -> tuple[dict[str, str], ...]:
        return (
            {"role": Role.USER.value, "content": self.prompt},
            {"role": Role.ASSISTANT.value, "content": self.completion},
        )

    def to_document(self) -> dict[str, Any]:
        return {"prompt": self.prompt, "completion": self.completion}


@dataclass(frozen=True)
class Message:
    """What one side said."""

    role: Role
    content: str


@dataclass(frozen=True)
class Conversation:
    """A conversation; the last message is the assistant's, and is what is learnt."""

    turns: tuple[Message, ...]

    @property
    def messages(self) -> tuple[dict[str, str], ...]:
        return tuple({"role": turn.role.value, "content": turn.content} for turn in self.turns)

    def to_document(self) -> dict[str, Any]:
        return {"messages": list(self.messages)}


Example = PromptCompletion | Conversation


def to_line(example: Example) -> str:
    """The canonical form: a line of JSON, the same for the same content."""
    return json.dumps(example.to_document(), ensure_ascii=False, separators=(",", ":"))


def from_line(line: str) -> Example:
    """Reads what `to_line` wrote."""
    document = json.loads(line)
    if "messages" in document:
        return Conversation(tuple(Message(Role(turn["role"]), turn["content"]) for turn in document["messages"]))
    return PromptCompletion(document["prompt"], document["completion"])
