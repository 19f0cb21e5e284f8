"""Two models' predictions, example by example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.statistics.inference import Sample
from finetune_trainer.statistics.sign_flip import FloatArray
from finetune_trainer.suites import model

BoolArray = NDArray[np.bool_]
Pairs = Sequence[tuple[ScoredPrediction, ScoredPrediction]]


class PairingError(ValueError):
    """Two sets of predictions that do not answer the same examples."""


@dataclass(frozen=True, eq=False)
class PairedTask:
    """The scores of both models on one task's examples, in the order of their ids."""

    task: model.Task
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    patterns: tuple[str, ...] | None
    base: FloatArray
    tuned: FloatArray
    base_parsed: BoolArray
    tuned_parsed: BoolArray
    changed_answers: int

    @property
    def differences(self) -> FloatArray:
        """How much better the tuned model did on each example."""
        return self.tuned - self.base

    def sample(self) -> Sample:
        """Every example with the same weight."""
        return Sample(self.differences, np.ones(len(self.base)), self.groups, self.patterns)


@dataclass(frozen=True, eq=False)
class PairedTexts:
    """The negative log-likelihoods, in nats, that both models gave to the same raw texts."""

    task: model.Task
    documents: tuple[str, ...]
    patterns: tuple[str, ...] | None
    base: FloatArray
    tuned: FloatArray
    utf8_bytes: FloatArray


def pair_task(task: model.Task, base: Sequence[ScoredPrediction], tuned: Sequence[ScoredPrediction]) -> PairedTask:
    """The paired scores of one task."""
    pairs = _paired(task, base, tuned)
    return PairedTask(
        task=task,
        ids=tuple(left.id for left, _ in pairs),
        groups=tuple(left.group for left, _ in pairs),
        patterns=_patterns(pairs),
        base=np.array([left.score for left, _ in pairs], dtype=np.float64),
        tuned=np.array([right.score for _, right in pairs], dtype=np.float64),
        base_parsed=np.array([left.parsed for left, _ in pairs], dtype=np.bool_),
        tuned_parsed=np.array([right.parsed for _, right in pairs], dtype=np.bool_),
        changed_answers=sum((left.prediction, left.score) != (right.prediction, right.score) for left, right in pairs),
    )


def pair_texts(task: model.Task, base: Sequence[ScoredPrediction], tuned: Sequence[ScoredPrediction]) -> PairedTexts:
    """The paired likelihoods of a perplexity task."""
    pairs = _paired(task, base, tuned)
    for left, right in pairs:
        if left.utf8_bytes != right.utf8_bytes:
            raise PairingError(f"{task.name}: {left.id!r} was measured over other bytes; evaluate both on one suite")
    return PairedTexts(
        task=task,
        documents=tuple(left.group for left, _ in pairs),
        patterns=_patterns(pairs),
        base=np.array([left.negative_log_likelihood for left, _ in pairs], dtype=np.float64),
        tuned=np.array([right.negative_log_likelihood for _, right in pairs], dtype=np.float64),
        utf8_bytes=np.array([left.utf8_bytes for left, _ in pairs], dtype=np.float64),
    )


def _paired(task: model.Task, base: Sequence[ScoredPrediction], tuned: Sequence[ScoredPrediction]) -> Pairs:
    left, right = _by_id(task, "base", base), _by_id(task, "tuned", tuned)
    for name, only in (("base", left.keys() - right.keys()), ("tuned", right.keys() - left.keys())):
        if only:
            raise PairingError(
                f"{task.name}: {len(only)} examples were answered by the {name} model only, such as {min(only)!r}; "
                "evaluate both models on the same suite with the same limit"
            )
    pairs = [(left[key], right[key]) for key in sorted(left)]
    for one, other in pairs:
        if (one.group, one.pattern) != (other.group, other.pattern):
            raise PairingError(f"{task.name}: {one.id!r} has two groups or patterns; evaluate both models again")
    return pairs


def _by_id(task: model.Task, name: str, predictions: Sequence[ScoredPrediction]) -> Mapping[str, ScoredPrediction]:
    found = {each.id: each for each in predictions if each.task == task.name}
    if not found:
        raise PairingError(f"{task.name}: the {name} model has no predictions; evaluate it on the whole suite")
    if len(found) < sum(each.task == task.name for each in predictions):
        raise PairingError(f"{task.name}: the {name} model answered an example twice; run its evaluation again")
    if any((each.score is None) == task.is_scored for each in found.values()):
        wanted = "scores" if task.is_scored else "likelihoods"
        raise PairingError(f"{task.name}: the {name} model's predictions are not {wanted}; run its evaluation again")
    return found


def _patterns(pairs: Pairs) -> tuple[str, ...] | None:
    """The sentence patterns; an example without one shares only its group. None where no example has one."""
    if all(left.pattern is None for left, _ in pairs):
        return None
    return tuple(f"group {left.group}" if left.pattern is None else left.pattern for left, _ in pairs)
