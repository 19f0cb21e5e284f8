"""Some answers of both models side by side, chosen by a rule and not by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from finetune_trainer.report.findings import Findings
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.suites.model import Example, Task

_SHOWN_LENGTH = 600
_BETTER, _WORSE, _OTHER = "became better", "became worse", "other words, same score"
_SHOWN_OF_EACH = {_BETTER: 2, _WORSE: 2, _OTHER: 1}


@dataclass(frozen=True)
class Answer:
    """What one model answered and what that earned."""

    text: str
    score: float
    is_readable: bool


@dataclass(frozen=True)
class ChangedAnswer:
    """A question that the two models answer differently."""

    change: str
    question: str
    reference: str
    base: Answer
    tuned: Answer


@dataclass(frozen=True)
class ChangedAnswers:
    """Of one task: how many changed which way, and a few of them."""

    title: str
    better: int
    worse: int
    other: int
    same: int
    shown: tuple[ChangedAnswer, ...]


def changed_answers(findings: Findings) -> tuple[ChangedAnswers, ...]:
    """Of each scored task."""
    return tuple(_of_task(findings, task) for task in findings.suite.suite.scored_tasks)


def _of_task(findings: Findings, task: Task) -> ChangedAnswers:
    base = {each.id: each for each in findings.baseline.predictions}
    tuned = {each.id: each for each in findings.candidate.predictions}
    examples = findings.suite.examples[task.name]
    by_change: dict[str, list[ChangedAnswer]] = {change: [] for change in _SHOWN_OF_EACH}
    for example in sorted(examples, key=lambda each: hashlib.sha256(each.id.encode()).digest()):
        if base[example.id].prediction != tuned[example.id].prediction:
            changed = _changed(example, base[example.id], tuned[example.id])
            by_change[changed.change].append(changed)
    return ChangedAnswers(
        title=task.title,
        better=len(by_change[_BETTER]),
        worse=len(by_change[_WORSE]),
        other=len(by_change[_OTHER]),
        same=len(examples) - sum(map(len, by_change.values())),
        shown=tuple(_first_of_each(by_change.items())),
    )


def _first_of_each(by_change: Iterable[tuple[str, list[ChangedAnswer]]]) -> Iterable[ChangedAnswer]:
    for change, found in by_change:
        yield from found[: _SHOWN_OF_EACH[change]]


def _changed(example: Example, base: ScoredPrediction, tuned: ScoredPrediction) -> ChangedAnswer:
    before, after = _answer(base), _answer(tuned)
    change = _BETTER if after.score > before.score else _WORSE if after.score < before.score else _OTHER
    return ChangedAnswer(change, _cut(_question(example)), _cut(example.reference or ""), before, after)


def _answer(prediction: ScoredPrediction) -> Answer:
    return Answer(_cut(prediction.prediction or ""), prediction.score or 0.0, bool(prediction.parsed))


def _question(example: Example) -> str:
    return example.messages[-1].content if example.messages else example.prompt or ""


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + " …"
