"""An example as it is compared with others: what is asked, of which text, and the answer, in canonical form."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from finetune_trainer.dataset.examples import Conversation, Example, Message, Role

# Scripts that put no blanks between words: each of their characters counts as one.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"\d[\d.,]*\d|[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_SCALE = "%|percent|thousand|million|billion|trillion|bn|mn|m|k"
_FIGURE = re.compile(rf"[-+\u2212(]?[$€£¥]?\d(?:[\d.,]*\d)?\s?(?:(?:{_SCALE})(?!\w))?")
_PARAGRAPH = "\n\n"


@dataclass(frozen=True, slots=True)
class Text:
    """Everything canonical: compatible characters and cases are one, and so is white space of any length."""

    instruction: str
    """The prompt's first paragraph where more follow, with the system's message: what many examples share."""
    source: str
    """The rest of the prompt: the text that the question is about."""
    last_line: str
    """The source's last line: where a question stands that comes after its text."""
    answer: str

    @property
    def question(self) -> str:
        return f"{self.instruction}\n{self.source}"

    @property
    def words(self) -> list[str]:
        """Words of source and answer, figures whole."""
        return words_of(self.source) + words_of(self.answer)

    @property
    def figures(self) -> tuple[str, ...]:
        """The source's figures in their order, with sign, currency and unit."""
        return tuple(found.replace(" ", "").replace("\u2212", "-") for found in _FIGURE.findall(self.source))


def canonical(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words_of(text: str) -> list[str]:
    """Words of a canonical text."""
    return _WORD.findall(text)


def text_of(example: Example) -> Text:
    if isinstance(example, Conversation):
        return _text_of_turns(example.turns)
    return text_of_prompt(example.prompt, example.completion)


def text_of_prompt(prompt: str, answer: str, system: str = "") -> Text:
    """A prompt of several paragraphs begins with its instruction; one of a single paragraph is all source."""
    head, _, rest = prompt.partition(_PARAGRAPH)
    instruction, source = (head, rest) if rest.strip() else ("", prompt)
    return Text(
        instruction=canonical(f"{system} {instruction}"),
        source=canonical(source),
        last_line=canonical(source.rstrip().rpartition("\n")[2]),
        answer=canonical(answer),
    )


def _text_of_turns(turns: tuple[Message, ...]) -> Text:
    system = turns[0].content if turns[0].role is Role.SYSTEM else ""
    asked = [turn for turn in turns[:-1] if turn.role is not Role.SYSTEM]
    if len(asked) == 1:
        return text_of_prompt(asked[0].content, turns[-1].content, system)
    return Text(
        instruction=canonical(system),
        source=canonical("\n".join(turn.content for turn in asked)),
        last_line=canonical(asked[-1].content),
        answer=canonical(turns[-1].content),
    )
