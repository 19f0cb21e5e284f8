"""How many of a suite's examples a model has learnt from: asked of the hashes that its preparation left."""

from __future__ import annotations

from pathlib import Path

from finetune_api.group import Step
from finetune_trainer.dataset.quality.fingerprints import held_by_suite
from finetune_trainer.dataset.quality.leakage import find_leaks
from finetune_trainer.dataset.quality.shingle_index import INDEX_FILE, read_index
from finetune_trainer.suites.model import LoadedSuite


def count_contaminated(index: Path, suite: LoadedSuite, similarity: float) -> int:
    """Examples of the suite that the training split gives away."""
    return len(find_leaks(read_index(index), list(held_by_suite(suite)), similarity).held)


def index_of_adapter(adapter: Path, volume: Path) -> Path | None:
    """The index of the run that an adapter's folder lies in, inside its volume; None where the run left none."""
    inside = (folder for folder in adapter.parents if folder.is_relative_to(volume))
    indexes = (folder / Step.PREPARE / INDEX_FILE for folder in inside)
    return next((index for index in indexes if index.is_file()), None)
