"""Text to tokens, in one place for preparing, training and evaluating: a prompt has the same tokens in all three.

Reads `tokenizer.json` with the tokenizers library, and the chat template beside it; needs neither torch nor
transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from finetune_api.conditions import Reason
from finetune_trainer.chat_template import ChatTemplate, ChatTemplateError, Messages
from finetune_trainer.dataset.examples import Conversation, Example, PromptCompletion
from finetune_trainer.failures import TrainerFailure, UserError

TOKENIZER_FILE = "tokenizer.json"
_CONFIG_FILE = "tokenizer_config.json"
_TEMPLATE_FILE = "chat_template.jinja"


class EncodingError(ValueError):
    """One example that cannot be turned into tokens; the message says why."""


@dataclass(frozen=True)
class EncodedExample:
    """Tokens of prompt and completion; the loss is taken over the completion's."""

    tokens: tuple[int, ...]
    prompt_length: int

    def cut(self, length: int) -> EncodedExample:
        return EncodedExample(self.tokens[:length], min(self.prompt_length, length))

    @property
    def trainable(self) -> int:
        return len(self.tokens) - self.prompt_length

    @property
    def labels(self) -> tuple[int, ...]:
        """The tokens, with -100 in place of the prompt's."""
        return (-100,) * self.prompt_length + self.tokens[self.prompt_length :]


class Tokenizer:
    """A model's tokenizer and chat template."""

    def __init__(
        self,
        tokenizer: tokenizers.Tokenizer,
        special_tokens: Mapping[str, str],
        template: ChatTemplate | None,
    ) -> None:
        # A tokenizer.json may carry the truncation and padding of whoever saved it.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._special_tokens = dict(special_tokens)
        self._template = template

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """The tokenizer of a model's folder. UserError (ModelInvalid) when it is missing or broken."""
        special_tokens, template_source = _read_configuration(folder)
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER_FILE))
            template = None if template_source is None else ChatTemplate(template_source, special_tokens)
        except ChatTemplateError as error:
            raise UserError(Reason.MODEL_INVALID, str(error)) from error
        except TrainerFailure:
            raise  # told to stop while it was loading
        except Exception as error:  # tokenizers raises nothing more precise
            raise UserError(Reason.MODEL_INVALID, f"the model's {TOKENIZER_FILE} cannot be read: {error}") from error
        return cls(tokenizer, special_tokens, template)

    @property
    def has_chat_template(self) -> bool:
        return self._template is not None

    @property
    def chat_template(self) -> str | None:
        """The chat template's source."""
        return None if self._template is None else self._template.source

    @property
    def end_token_id(self) -> int | None:
        """The token that ends a text. None where there is none, or its text comes out as several tokens."""
        return self._token_id("eos_token")

    @property
    def end_token(self) -> str | None:
        return self._special_tokens.get("eos_token")

    @property
    def padding_token_id(self) -> int:
        """The token to pad with: never trained on, so any will do where the model names none."""
        candidates = (self._token_id("pad_token"), self.end_token_id, self._token_id("unk_token"), 0)
        return next(identifier for identifier in candidates if identifier is not None)

    @property
    def padding_token(self) -> str:
        return self._tokenizer.id_to_token(self.padding_token_id) or ""

    @property
    def largest_token_id(self) -> int:
        largest: int = max(self._tokenizer.get_vocab(with_added_tokens=True).values())
        return largest

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Tokens of raw text, with what the model puts around a text (such as its first token)."""
        return tuple(self._tokenizer.encode(text).ids)

    def encode_messages(self, messages: Messages) -> tuple[int, ...]:
        """Tokens of a conversation, up to where the assistant begins to answer."""
        return self._encode_rendered(self._rendered(messages, add_generation_prompt=True))

    def encode_question(self, question: str) -> tuple[int, ...]:
        """Tokens of a question as it is put to the model: as the user's message, or as it is without chat template."""
        if self._template is None:
            return self.encode_text(question)
        return self.encode_messages([{"role": "user", "content": question}])

    def encode_choice(self, prompt: str | Messages, choice: str) -> EncodedExample:
        """Tokens of a prompt and of one answer that is offered for it, without an end.

        After raw text a space comes first, unless the text ends in one. EncodingError as for messages.
        """
        if isinstance(prompt, str):
            seam = "" if prompt[-1:].isspace() else " "
            return self._joined(self.encode_text(prompt), self.encode_text(prompt + seam + choice), seam + choice)
        rendered = self._rendered(prompt, add_generation_prompt=True)
        return self._joined(self._encode_rendered(rendered), self._encode_rendered(rendered + choice), choice)

    def encode_example(self, example: Example) -> EncodedExample:
        """Tokens of an example, prompt and completion. EncodingError where the model's template refuses it."""
        if self._template is not None:
            return self._encode_conversation(example.messages)
        if isinstance(example, Conversation):
            raise EncodingError("the model has no chat template, so it cannot learn from messages")
        return self._encode_plain(example)

    def prompt_text(self, prompt: str | Messages) -> str:
        """What is put to the model, as text: a conversation up to where the assistant begins to answer. EncodingError
        where the template refuses it."""
        return prompt if isinstance(prompt, str) else self._rendered(prompt, add_generation_prompt=True)

    def render(self, messages: Messages) -> str:
        """A whole conversation as the chat template writes it. EncodingError where it refuses."""
        return self._rendered(messages, add_generation_prompt=False)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens, special tokens left out."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def _encode_conversation(self, messages: Messages) -> EncodedExample:
        prompt = self._rendered(messages[:-1], add_generation_prompt=True)
        whole = self._rendered(messages, add_generation_prompt=False)
        if not whole.startswith(prompt):
            raise EncodingError(
                "the model's chat template writes a conversation otherwise than it asks for an answer, "
                "so prompt and completion cannot be told apart"
            )
        return self._joined(self._encode_rendered(prompt), self._encode_rendered(whole), whole[len(prompt) :])

    def _encode_plain(self, example: PromptCompletion) -> EncodedExample:
        if not self.end_token:
            raise EncodingError("the model names no end token, so it would never learn where a completion ends")
        completion = example.completion + self.end_token
        return self._joined(self.encode_text(example.prompt), self.encode_text(example.prompt + completion), completion)

    def _joined(self, prompt: tuple[int, ...], whole: tuple[int, ...], completion: str) -> EncodedExample:
        """Where a token spans the seam, the prompt keeps the tokens that it has when the model is asked."""
        if whole[: len(prompt)] != prompt:
            whole = prompt + self._encode_rendered(completion)
        return EncodedExample(whole, len(prompt))

    def _rendered(self, messages: Messages, *, add_generation_prompt: bool) -> str:
        if self._template is None:
            raise EncodingError("the model has no chat template")
        try:
            return self._template.render(messages, add_generation_prompt=add_generation_prompt)
        except ChatTemplateError as error:
            raise EncodingError(str(error)) from error

    def _encode_rendered(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _token_id(self, name: str) -> int | None:
        token = self._special_tokens.get(name)
        if token is None:
            return None
        identifiers = self._encode_rendered(token)
        return identifiers[0] if len(identifiers) == 1 and self._tokenizer.token_to_id(token) is not None else None


def _read_configuration(folder: Path) -> tuple[dict[str, str], str | None]:
    """Special tokens and chat template, from tokenizer_config.json and chat_template.jinja."""
    configuration = _read_json(folder / _CONFIG_FILE)
    special_tokens = {
        name: _content(value)
        for name, value in configuration.items()
        if name.endswith("_token") and isinstance(value, str | dict)
    }
    template_file = folder / _TEMPLATE_FILE
    if template_file.is_file():
        return special_tokens, template_file.read_text()
    return special_tokens, _default_template(configuration.get("chat_template"))


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(Reason.MODEL_INVALID, f"the model's {path.name} is not JSON: {error}") from error
    return document if isinstance(document, dict) else {}


def _content(token: str | dict[str, Any]) -> str:
    return token if isinstance(token, str) else str(token.get("content", ""))


def _default_template(template: str | list[dict[str, str]] | None) -> str | None:
    """A model may bring several templates by name; the one for plain conversations is `default`."""
    if isinstance(template, list):
        by_name = {entry.get("name"): entry.get("template") for entry in template}
        return by_name.get("default")
    return template
