"""Predictions added up: a score for each task, and the suite's weighted mean."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_api.evaluation import TaskScore
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.suites.model import Suite, Task

DECIMALS = 4


def task_scores(suite: Suite, predictions: Sequence[ScoredPrediction]) -> tuple[TaskScore, ...]:
    """Mean score by task; of raw text, nats per UTF-8 byte over all texts."""
    return tuple(_task_score(task, _of(task, predictions)) for task in suite.tasks)


def overall_score(suite: Suite, predictions: Sequence[ScoredPrediction]) -> float:
    """The weighted mean of the scored tasks' means."""
    total = sum(task.weight for task in suite.scored_tasks)
    return sum(task.weight / total * _mean_score(_of(task, predictions)) for task in suite.scored_tasks)


def _of(task: Task, predictions: Sequence[ScoredPrediction]) -> list[ScoredPrediction]:
    return [each for each in predictions if each.task == task.name]


def _task_score(task: Task, predictions: Sequence[ScoredPrediction]) -> TaskScore:
    score = _mean_score(predictions) if task.is_scored else _nats_per_byte(predictions)
    return TaskScore(
        name=task.name,
        n=len(predictions),
        score=f"{score:.{DECIMALS}f}",
        parse_failures=sum(each.parsed is False for each in predictions),
    )


def _mean_score(predictions: Sequence[ScoredPrediction]) -> float:
    return sum(each.score or 0.0 for each in predictions) / len(predictions)


def _nats_per_byte(predictions: Sequence[ScoredPrediction]) -> float:
    total = sum(each.utf8_bytes or 0 for each in predictions)
    return sum(each.negative_log_likelihood or 0.0 for each in predictions) / total
