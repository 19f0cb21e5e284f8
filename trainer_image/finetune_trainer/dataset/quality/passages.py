"""An example as the checks read it: what is given, what is answered, and the instruction that many examples share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finetune_trainer.dataset.examples import Conversation, Example, to_line
from finetune_trainer.dataset.reading import NumberedExample

SHARED_BY = 3
"""Examples that begin with the same paragraph, from which on it is an instruction and says nothing of its own."""
ID_DIGITS = 16
_COPY = "-"


@dataclass(frozen=True)
class Text:
    """The parts of one example."""

    line: int
    instruction: str
    """The paragraph that other examples begin with too; empty where there is none."""
    source: str
    """What is given beside the instruction."""
    answer: str

    @property
    def prompt(self) -> str:
        return f"{self.instruction}\n\n{self.source}".strip()

    @property
    def own(self) -> str:
        """What is said in this example: source and answer."""
        return f"{self.source}\n{self.answer}"

    @property
    def whole(self) -> str:
        return f"{self.prompt}\n{self.answer}"


def example_id(example: Example) -> str:
    """The name of an example by its content, the same wherever it stands."""
    return hashlib.sha256(to_line(example).encode()).hexdigest()[:ID_DIGITS]


def example_ids(examples: Sequence[NumberedExample]) -> dict[int, str]:
    """The id of each line. Of lines with the same content the first has the plain one, the next is its copy `-2`."""
    seen: Counter[str] = Counter()
    ids: dict[int, str] = {}
    for numbered in examples:
        name = example_id(numbered.example)
        seen[name] += 1
        ids[numbered.line] = name if seen[name] == 1 else f"{name}{_COPY}{seen[name]}"
    return ids


def copied_id(name: str) -> str:
    """The id of the first example with the content that this id is of."""
    return name.partition(_COPY)[0]


def texts_of(examples: Sequence[NumberedExample]) -> tuple[Text, ...]:
    """Every example in parts."""
    pairs = [(numbered.line, *_parts(numbered.example)) for numbered in examples]
    shared = _shared(prompt for _, prompt, _ in pairs)
    return tuple(Text(line, *_divided(prompt, shared), answer) for line, prompt, answer in pairs)


def _parts(example: Example) -> tuple[str, str]:
    if isinstance(example, Conversation):
        return "\n\n".join(turn.content for turn in example.turns[:-1]), example.turns[-1].content
    return example.prompt, example.completion


def _shared(prompts: Iterable[str]) -> frozenset[str]:
    beginnings = Counter(prompt.partition("\n\n")[0] for prompt in prompts if "\n\n" in prompt)
    return frozenset(beginning for beginning, count in beginnings.items() if count >= SHARED_BY)


def _divided(prompt: str, shared: frozenset[str]) -> tuple[str, str]:
    beginning, _, rest = prompt.partition("\n\n")
    return (beginning, rest) if beginning in shared else ("", prompt)
