"""Which of several processes that train together this one is. Read from what torchrun puts into the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

LAST_WORDS_VARIABLE = "FINETUNE_LAST_WORDS"
"""Folder on this node in which each of its processes leaves what it ended with, for the one that started them."""


@dataclass(frozen=True)
class Membership:
    """One process among several."""

    rank: int
    """Among all, from 0. The process with 0 speaks for all."""
    size: int
    """How many there are."""
    local_rank: int
    """Among those of this node, from 0: also the number of its GPU."""
    last_words: Path
    """Where it leaves what it ended with."""


def membership() -> Membership | None:
    """None for a process that works alone, or that starts the others."""
    folder = os.environ.get(LAST_WORDS_VARIABLE)
    if folder is None:
        return None
    local_rank = int(os.environ["LOCAL_RANK"])
    return Membership(
        rank=int(os.environ["RANK"]),
        size=int(os.environ["WORLD_SIZE"]),
        local_rank=local_rank,
        last_words=Path(folder) / f"{local_rank}.json",
    )
