"""Where a difference comes from: answers that can now be read, and answers that are now right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from finetune_trainer.statistics.pairing import BoolArray
from finetune_trainer.statistics.sign_flip import FloatArray


@dataclass(frozen=True)
class ParseSplit:
    """A difference in two parts that add up to it; losses count as negative."""

    became_parsable: float
    became_right: float


def split(differences: FloatArray, weights: FloatArray, base_parsed: BoolArray, tuned_parsed: BoolArray) -> ParseSplit:
    """What came of answers readable from one model only, and what of answers readable from both."""
    shares = weights * differences / weights.sum()
    readability_changed = base_parsed != tuned_parsed
    return ParseSplit(
        became_parsable=float(np.sum(shares[readability_changed])),
        became_right=float(np.sum(shares[~readability_changed])),
    )
