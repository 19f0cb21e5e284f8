"""Sentences with a sentiment, as a suite of one task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from finetune_trainer.suite_command.published.converted import Converted, suite_of, task_of
from finetune_trainer.suites.model import Example, Message

MOODS = ("negative", "neutral", "positive")
"""In the order in which data sets number them."""

_ANSWER = "Answer with one word: positive, negative or neutral."


@dataclass(frozen=True)
class Mood:
    """A sentence and its sentiment, which may be one about somebody."""

    place: str
    sentence: str
    mood: str
    group: str
    target: str | None = None

    @property
    def question(self) -> str:
        about = f" about {self.target}" if self.target else ""
        return f"What is the sentiment of this financial text{about}? {_ANSWER}\n\n{self.sentence}"


def moods(name: str, title: str, found: Sequence[Mood]) -> Converted:
    """What is asked twice is there once; what is answered in two ways is left out: no answer to it would be right."""
    answers: dict[str, dict[str, str]] = defaultdict(dict)
    for each in found:
        answers[each.question].setdefault(each.mood, each.place)
    disputed = {question: places for question, places in answers.items() if len(places) > 1}
    first = {each.question: each for each in reversed(found) if each.question not in disputed}
    examples = [
        _example(f"{name}-{number:05d}", name, each)
        for number, each in enumerate(found, start=1)
        if first.get(each.question) is each
    ]
    tasks = (
        [task_of(name, name, {"kind": "label", "labels": ("positive", "negative", "neutral")}, 8)] if examples else []
    )
    left_out = [" and ".join(f"{mood} in {place}" for mood, place in places.items()) for places in disputed.values()]
    return Converted(suite_of(name, title, tasks), examples, tuple(left_out))


def _example(identifier: str, task: str, found: Mood) -> Example:
    asked = (Message(role="user", content=found.question),)
    return Example(id=identifier, task=task, group=found.group or identifier, messages=asked, reference=found.mood)
