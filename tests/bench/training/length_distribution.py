"""Examples whose lengths are those of short financial questions: most are short, a few fill the sequence."""

from __future__ import annotations

import json
import random
from pathlib import Path

SEQUENCE_LENGTH = 512
_WORDS = (
    *("company", "reported", "revenue", "earnings", "margin", "quarter", "year", "growth", "net", "loss", "share"),
    *("the", "of", "in", "to", "and", "its", "rose", "fell", "by"),
)
_PROMPT = (4.2, 0.75, 8, 400)
"""Words of a prompt: lognormal, median 67, from 8 to 400."""
_COMPLETION = (2.7, 0.6, 2, 60)
"""Words of a completion: lognormal, median 15, from 2 to 60."""


def write_examples(count: int, path: Path) -> None:
    """The same every time."""
    chance = random.Random(7)
    rows = ({"prompt": _text(chance, *_PROMPT), "completion": _text(chance, *_COMPLETION)} for _ in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _text(chance: random.Random, mean: float, deviation: float, shortest: int, longest: int) -> str:
    length = min(longest, max(shortest, round(chance.lognormvariate(mean, deviation))))
    return " ".join(chance.choice(_WORDS) for _ in range(length))
