"""The examples whose score changed, each with the cause of the wrong answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from finetune_api.comparison import ErrorCause, FlipCount
from finetune_trainer.flips.causes import cause_of
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.suites.model import Example, LoadedSuite, Task


@dataclass(frozen=True)
class Answer:
    """What one model answered and what that earned."""

    text: str
    score: float
    is_readable: bool


@dataclass(frozen=True)
class Flip:
    """An example that got better or worse."""

    id: str
    task: str
    group: str
    improved: bool
    cause: ErrorCause
    """Of the answer that scored less."""
    question: str
    reference: str
    base: Answer
    tuned: Answer


def flips(
    suite: LoadedSuite,
    base: Iterable[ScoredPrediction],
    tuned: Iterable[ScoredPrediction],
    untold: Collection[str] = (),
) -> tuple[Flip, ...]:
    """By task, and within it in the order of the ids. Of answers that are `untold`, no cause is known."""
    before, after = ({each.id: each for each in side} for side in (base, tuned))
    return tuple(
        _flip(task, example, before[example.id], after[example.id], example.id in untold)
        for task in suite.suite.scored_tasks
        for example in suite.examples[task.name]
        if before[example.id].score != after[example.id].score
    )


def counts(found: Sequence[Flip]) -> tuple[FlipCount, ...]:
    """Of each cause that occurs, in the order of precedence."""
    return tuple(_counts(found))


def _counts(found: Sequence[Flip]) -> Iterator[FlipCount]:
    for cause in ErrorCause:
        ways = [flip.improved for flip in found if flip.cause is cause]
        if ways:
            yield FlipCount(cause=cause, improved=sum(ways), regressed=len(ways) - sum(ways))


def question_of(example: Example) -> str:
    """What the models were asked last."""
    return example.messages[-1].content if example.messages else example.prompt or ""


def _flip(task: Task, example: Example, base: ScoredPrediction, tuned: ScoredPrediction, untold: bool) -> Flip:
    before, after = _answer(base), _answer(tuned)
    improved = after.score > before.score
    wrong = (before if improved else after).text
    reference = example.reference or ""
    known = bool(reference) and not untold
    return Flip(
        id=example.id,
        task=task.name,
        group=example.group,
        improved=improved,
        cause=cause_of(question_of(example), reference, wrong, task.scorer) if known else ErrorCause.UNKNOWN,
        question=question_of(example),
        reference=reference,
        base=before,
        tuned=after,
    )


def _answer(prediction: ScoredPrediction) -> Answer:
    return Answer(prediction.prediction or "", prediction.score or 0.0, bool(prediction.parsed))
