"""How many of a suite's examples a model has learnt from: asked of the hashes that its preparation left."""

from __future__ import annotations

from pathlib import Path

from finetune_api.group import Step
from finetune_api.quality import DatasetQuality
from finetune_trainer.dataset.quality.fingerprints import held_by_suite
from finetune_trainer.dataset.quality.leakage import find_leaks
from finetune_trainer.dataset.quality.shingle_index import INDEX_FILE, read_index
from finetune_trainer.suites.model import LoadedSuite


def count_contaminated(index: Path, suite: LoadedSuite, similarity: float) -> int:
    """Examples of the suite that the training split gives away."""
    return len(find_leaks(read_index(index), list(held_by_suite(suite)), similarity).held)


def count_learnt(adapter: Path | None, suite: LoadedSuite) -> int:
    """Examples of the suite that an adapter has learnt from; 0 too where its run left no index, or there is none."""
    index = None if adapter is None else _index_of(adapter)
    similarity = float(DatasetQuality().near_duplicate_similarity)
    return 0 if index is None else count_contaminated(index, suite, similarity)


def _index_of(adapter: Path) -> Path | None:
    """prepare's folder is beside train's, which the adapter's folder is or lies in."""
    trained = next((folder for folder in (adapter, *adapter.parents) if folder.name == Step.TRAIN), None)
    index = None if trained is None else trained.parent / Step.PREPARE / INDEX_FILE
    return index if index is not None and index.is_file() else None
