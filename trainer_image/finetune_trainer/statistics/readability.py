"""How often answers cannot be read, with an interval that knows of groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from finetune_trainer.statistics.pairing import BoolArray


@dataclass(frozen=True)
class UnreadableShare:
    """Share of the answers, and the upper end of its 95% interval."""

    share: float
    high: float


def unreadable_share(unreadable: BoolArray, groups: Sequence[str]) -> UnreadableShare:
    """Wilson's score interval (1927) for as many independent examples as the spread between groups leaves; it is
    never empty, though nothing was unreadable."""
    share = float(unreadable.mean())
    examples = _effective_examples(unreadable, groups, share)
    z = NormalDist().inv_cdf(0.975)
    centre = share + z**2 / (2 * examples)
    spread = z * math.sqrt(share * (1 - share) / examples + z**2 / (4 * examples**2))
    return UnreadableShare(share, min(1.0, (centre + spread) / (1 + z**2 / examples)))


def _effective_examples(unreadable: BoolArray, groups: Sequence[str], share: float) -> float:
    """At most one a group where all answers are alike: then nothing tells how much those of a group hang together."""
    _, index = np.unique(np.array(groups), return_inverse=True)
    residuals = np.bincount(index, weights=unreadable - share)
    number = len(residuals)
    variance = float((residuals**2).sum()) / len(unreadable) ** 2 * number / max(1, number - 1)
    if variance <= 0:
        return float(number)
    return min(float(len(unreadable)), share * (1 - share) / variance)
