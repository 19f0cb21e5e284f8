"""What differences on grouped examples allow to be said: estimate, 95% interval, p value, and how much data that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.statistics import sign_flip
from finetune_trainer.statistics.least_groups import MINIMUM_CHANGED_GROUPS, MINIMUM_EFFECTIVE_GROUPS
from finetune_trainer.statistics.sign_flip import FloatArray

IntArray = NDArray[np.intp]


class Grouping(StrEnum):
    """What makes examples dependent on each other."""

    GROUP = "group"
    PATTERN = "pattern"


@dataclass(frozen=True)
class Sample:
    """Differences with their weights; examples that share a label of a grouping are not independent."""

    differences: FloatArray
    weights: FloatArray
    groups: tuple[str, ...]
    patterns: tuple[str, ...] | None = None

    def with_differences(self, differences: FloatArray) -> Sample:
        """The same examples, compared in another way."""
        return Sample(differences, self.weights, self.groups, self.patterns)


@dataclass(frozen=True)
class Inference:
    """A difference with its uncertainty, by the grouping that leaves more of it.

    `effective_groups` and `changed_groups` are those of the grouping that has fewer: it bounds how much data there is,
    whichever interval is the wider one.
    """

    estimate: float
    low: float
    high: float
    p: float
    grouping: Grouping
    groups: int
    effective_groups: float
    changed_groups: int
    flips: int
    exact: bool

    @property
    def is_sufficient(self) -> bool:
        """Whether there are enough groups, and enough that changed, for the interval to mean something."""
        return self.effective_groups >= MINIMUM_EFFECTIVE_GROUPS and self.changed_groups >= MINIMUM_CHANGED_GROUPS


def infer(sample: Sample, bounds: tuple[float, float]) -> Inference:
    """The wider of the intervals by group and by pattern, with its p value, cut where no difference can be."""
    by_group = _infer_by(sample, Grouping.GROUP, sample.groups, bounds)
    if sample.patterns is None:
        return by_group
    by_pattern = _infer_by(sample, Grouping.PATTERN, sample.patterns, bounds)
    return replace(
        max(by_group, by_pattern, key=lambda each: each.high - each.low),
        effective_groups=min(by_group.effective_groups, by_pattern.effective_groups),
        changed_groups=min(by_group.changed_groups, by_pattern.changed_groups),
    )


def _infer_by(sample: Sample, grouping: Grouping, labels: Sequence[str], bounds: tuple[float, float]) -> Inference:
    _, index = np.unique(np.array(labels), return_inverse=True)
    sizes = _sums(index, sample.weights)
    sums = _sums(index, sample.weights * sample.differences)
    changed = _sums(index, (sample.differences != 0).astype(np.float64))
    flipped = sign_flip.sign_flip(sums, sizes)
    return Inference(
        estimate=flipped.estimate,
        low=max(flipped.low, bounds[0]),
        high=min(flipped.high, bounds[1]),
        p=flipped.p,
        grouping=grouping,
        groups=len(sizes),
        effective_groups=float(sizes.sum() ** 2 / (sizes**2).sum()),
        changed_groups=int((changed > 0).sum()),
        flips=flipped.flips,
        exact=flipped.exact,
    )


def _sums(index: IntArray, values: FloatArray) -> FloatArray:
    return np.bincount(index, weights=values).astype(np.float64)
