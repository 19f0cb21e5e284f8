"""McNemar's exact test, for independent right-or-wrong answers: with several answers a group it claims too much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from finetune_trainer.statistics.pairing import PairedTask


def mcnemar_p(pair: PairedTask) -> float | None:
    """The exact two-sided p value; None where a group or a pattern has several examples, or a score is neither 0 nor
    1."""
    scores = np.concatenate([pair.base, pair.tuned])
    if _repeats(pair.groups) or _repeats(pair.patterns or ()) or not np.isin(scores, (0.0, 1.0)).all():
        return None
    gained = int((pair.tuned > pair.base).sum())
    lost = int((pair.tuned < pair.base).sum())
    return _binomial_two_sided(min(gained, lost), gained + lost)


def _repeats(labels: Sequence[str]) -> bool:
    return len(set(labels)) < len(labels)


def _binomial_two_sided(fewer: int, discordant: int) -> float:
    tail = sum(math.comb(discordant, count) for count in range(fewer + 1))
    return min(1.0, float(Fraction(2 * tail, 2**discordant)))
