"""All scored tasks as one sample: the suite's fixed weighted mean, in which a group's answers move together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finetune_trainer.statistics.inference import Sample
from finetune_trainer.statistics.pairing import BoolArray, PairedTask
from finetune_trainer.statistics.sign_flip import FloatArray


@dataclass(frozen=True, eq=False)
class OverallSample:
    """The examples of all scored tasks, weighted so that their mean is the weighted mean of the tasks' means."""

    sample: Sample
    base: FloatArray
    tuned: FloatArray
    base_parsed: BoolArray
    tuned_parsed: BoolArray

    @property
    def base_mean(self) -> float:
        """The base model's overall score."""
        return float(np.average(self.base, weights=self.sample.weights))

    @property
    def tuned_mean(self) -> float:
        """The tuned model's overall score."""
        return float(np.average(self.tuned, weights=self.sample.weights))


def overall_sample(pairs: Sequence[PairedTask]) -> OverallSample:
    """One sample of all tasks: a group is the same in every task, a sentence pattern belongs to one."""
    weights = np.concatenate([np.full(len(pair.base), pair.task.weight / len(pair.base)) for pair in pairs])
    base = np.concatenate([pair.base for pair in pairs])
    tuned = np.concatenate([pair.tuned for pair in pairs])
    groups = tuple(group for pair in pairs for group in pair.groups)
    return OverallSample(
        sample=Sample(tuned - base, weights / weights.sum(), groups, _patterns(pairs)),
        base=base,
        tuned=tuned,
        base_parsed=np.concatenate([pair.base_parsed for pair in pairs]),
        tuned_parsed=np.concatenate([pair.tuned_parsed for pair in pairs]),
    )


def _patterns(pairs: Sequence[PairedTask]) -> tuple[str, ...] | None:
    """Patterns under their task's name; a task without any keeps its groups together. None where no task has one."""
    if all(pair.patterns is None for pair in pairs):
        return None
    return tuple(
        f"group {group}" if pattern is None else f"{pair.task.name} {pattern}"
        for pair in pairs
        for group, pattern in zip(pair.groups, pair.patterns or [None] * len(pair.groups), strict=True)
    )
