"""Renders a model's chat template exactly as transformers does, without the seconds that importing it takes.

A template is text from a model's folder, so it runs in Jinja's immutable sandbox: no attribute that leads to Python's
internals, no writing to what it is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

Messages = Sequence[Mapping[str, str]]


class ChatTemplateError(ValueError):
    """The template is broken, or refuses these messages."""


class ChatTemplate:
    """Turns messages into the text that a model was trained on."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self.source = source
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise ChatTemplateError(f"the model's chat template is broken: {error}") from error
        self._special_tokens = dict(special_tokens)

    def render(self, messages: Messages, *, add_generation_prompt: bool) -> str:
        """The text of a conversation; with the generation prompt it ends where the assistant begins to answer."""
        conversation = [dict(message) for message in messages]
        try:
            return self._template.render(
                messages=conversation, add_generation_prompt=add_generation_prompt, **self._special_tokens
            )
        except (TemplateError, TypeError) as error:
            raise ChatTemplateError(f"the model's chat template refuses the messages: {error}") from error


class _GenerationBlock(Extension):
    """`{% generation %}` marks the assistant's words for loss masks; here it only has to be let through."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """Jinja's own filter escapes HTML characters, which no model was trained on."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


_TODAY = datetime(2024, 7, 26, tzinfo=UTC)
"""What a template that writes the date is told: the day that Llama 3.1's falls back to. With the true one, training
and evaluation, or base and candidate on different days, would see different prompts."""


def _strftime_now(form: str) -> str:
    return _TODAY.strftime(form)
