"""The noise floor: how many answers change when nothing but the batch size does.

In bfloat16, or over quantized weights, a row's result is rounded otherwise in a batch of another shape, and a greedy
answer may turn. A fixed tenth of each scored task is asked again in smaller batches; the share that changes is what two
evaluations of one and the same model would differ in. In float32 no answer changes, and nothing is asked again. Raw
texts are not read again: they have no answer that could turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from finetune_api.evaluation import NoiseFloor
from finetune_api.quantization import Precision, Quantization
from finetune_trainer.evaluation.choices import ChoiceTask
from finetune_trainer.evaluation.examination import Batch, batches_of
from finetune_trainer.evaluation.questions import QuestionTask, TextTask
from finetune_trainer.scoring.predictions import ScoredPrediction

ROWS = 8
"""An eighth of the usual batch: as far from it as can be had without taking as long as all the other answers."""
ONE_IN = 10


@dataclass(frozen=True)
class Asked:
    """A batch, and whether its examples have been asked before."""

    batch: Batch
    again: bool = False


def depends_on_batches(precision: Precision, quantization: Quantization) -> bool:
    """Whether the same question may get another answer in another batch."""
    return precision is not Precision.FLOAT32 or quantization is not Quantization.NONE


def asked_again(task: QuestionTask | ChoiceTask | TextTask) -> list[Asked]:
    """A tenth of a task's examples in small batches; none of raw texts."""
    if isinstance(task, TextTask):
        return []
    return [Asked(batch, again=True) for batch in batches_of(_tenth(task), ROWS)]


def selected(ids: Iterable[str]) -> frozenset[str]:
    """One in ten, rounded up: the same ones whatever their order, and for every model."""
    ordered = sorted(ids, key=lambda each: hashlib.sha256(each.encode()).digest())
    return frozenset(ordered[: -(-len(ordered) // ONE_IN)])


def _tenth(task: QuestionTask | ChoiceTask) -> QuestionTask | ChoiceTask:
    chosen = selected(each.example.id for each in task.questions)
    if isinstance(task, ChoiceTask):
        return replace(task, questions=tuple(each for each in task.questions if each.example.id in chosen))
    return replace(task, questions=tuple(each for each in task.questions if each.example.id in chosen))


def noise_floor(first: Mapping[str, ScoredPrediction], again: Mapping[str, ScoredPrediction]) -> NoiseFloor:
    """What changed from the first answers, by example, to those that were given again."""
    pairs = [(first[name], repeated) for name, repeated in again.items()]
    return NoiseFloor(
        examples=len(pairs),
        changed_answers=sum(one.prediction != other.prediction for one, other in pairs),
        changed_scores=sum(one.score != other.score for one, other in pairs),
    )
