"""Examples to choose by (search) and examples to judge by (holdout), told apart by a hash of their group.

Whoever tries prompts or parameters on the examples that the verdict rests on finds what suits these examples. The hash
keeps each group on its side, whatever is added to the suite or taken out of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from finetune_api.sources import SuiteSplit
from finetune_trainer.suites import model

_HASH_BYTES = 8
_HASHES = 1 << 8 * _HASH_BYTES


def is_search(suite: model.Suite, group: str) -> bool:
    """Whether this group is kept apart. sha256 over the suite's name, a zero byte and the group, as a fraction of 1."""
    hashed = hashlib.sha256(f"{suite.name}\0{group}".encode()).digest()[:_HASH_BYTES]
    return int.from_bytes(hashed, "big") / _HASHES < suite.search_fraction


def take(loaded: model.LoadedSuite, split: SuiteSplit) -> model.LoadedSuite:
    """The suite with the examples of one side. SuiteError where a task has none there."""
    if split is SuiteSplit.ALL:
        return loaded
    sides = {task.name: _side(loaded, task, split) for task in loaded.suite.tasks}
    return replace(loaded, examples=sides)


def _side(loaded: model.LoadedSuite, task: model.Task, split: SuiteSplit) -> tuple[model.Example, ...]:
    wanted = split is SuiteSplit.SEARCH
    found = tuple(each for each in loaded.examples[task.name] if is_search(loaded.suite, each.group) is wanted)
    if not found:
        raise model.SuiteError(
            f"{task.examples}: none of task {task.name!r}'s groups is in the {split} split (searchFraction "
            f"{loaded.suite.search_fraction:g}, by a hash of the group); give it more groups, set searchFraction to 0 "
            "in suite.yaml, or split to all in the manifest"
        )
    return found
