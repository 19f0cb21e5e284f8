"""The suite that a run's training examples are kept apart from.

A run is named by its dataset, not by its evaluation: another suite starts no new run, and must train nothing anew.
So a run remembers the suite of its first preparation, and is purged by that one however often it is prepared again: a
status that was lost leads to the same training. A suite that is chosen later is only checked (`contamination`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from finetune_api.group import Step
from finetune_api.orders import SuiteLocation
from finetune_trainer.artifacts import is_sealed
from finetune_trainer.dataset.quality.fingerprints import Held, held_by_suite
from finetune_trainer.dataset.quality.shingle_index import read_index
from finetune_trainer.evaluation.questions import load_questions

SUITE_FILE = "suite.shingles"
"""In prepare's folder: the hashes of the suite's examples, none where there was no suite."""


def suite_of_run(directory: Path, suite: SuiteLocation | None) -> Sequence[Held]:
    """Of the run's earlier preparation where there is one, else of the order. UserError (SuiteInvalid)."""
    folder = directory / Step.PREPARE
    remembered = folder / SUITE_FILE
    if remembered.is_file() and is_sealed(folder):
        return [Held("an example of the suite", row) for row in read_index(remembered)]
    return [] if suite is None else list(held_by_suite(load_questions(suite)))
