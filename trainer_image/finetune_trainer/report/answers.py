"""How many answers changed which way, by task, and those whose score changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_trainer.flips.flips import Flip
from finetune_trainer.report.findings import Findings
from finetune_trainer.report.flip_cards import FlipCard, flip_card
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.suites.model import Task


@dataclass(frozen=True)
class ChangedAnswers:
    """Of one task: how many changed which way, and the flips that are shown."""

    title: str
    better: int
    worse: int
    other: int
    same: int
    shown: tuple[FlipCard, ...]

    @property
    def left_out(self) -> int:
        """Flips that are not shown."""
        return self.better + self.worse - len(self.shown)


def changed_answers(findings: Findings, most: int | None = None) -> tuple[ChangedAnswers, ...]:
    """Of each scored task. Where not all flips are to be shown, the tasks share `most` evenly, in turns of better and
    worse ones."""
    tasks = findings.suite.suite.scored_tasks
    base = {each.id: each for each in findings.baseline.predictions}
    tuned = {each.id: each for each in findings.candidate.predictions}
    a_task = None if most is None else most // len(tasks)
    return tuple(_of_task(findings, task, base, tuned, a_task) for task in tasks)


def _of_task(
    findings: Findings,
    task: Task,
    base: Mapping[str, ScoredPrediction],
    tuned: Mapping[str, ScoredPrediction],
    most: int | None,
) -> ChangedAnswers:
    flips = [flip for flip in findings.flips if flip.task == task.name]
    flipped = {flip.id for flip in flips}
    others = [each.id for each in findings.suite.examples[task.name] if each.id not in flipped]
    other = sum(base[each].prediction != tuned[each].prediction for each in others)
    better = sum(flip.improved for flip in flips)
    shown = tuple(flip_card(flip) for flip in in_turns(flips)[:most])
    return ChangedAnswers(task.title, better, len(flips) - better, other, len(others) - other, shown)


def in_turns(flips: list[Flip]) -> list[Flip]:
    """A better one, a worse one and so on, so that the first few show both."""
    ways: dict[bool, int] = {True: 0, False: 0}
    places = []
    for flip in flips:
        places.append((ways[flip.improved], not flip.improved, flip))
        ways[flip.improved] += 1
    return [flip for *_, flip in sorted(places, key=lambda place: place[:2])]
