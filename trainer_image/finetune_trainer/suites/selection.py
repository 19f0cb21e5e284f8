"""Fewer examples where time is short, without losing the suite's variety."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from finetune_trainer.suites import model


def select_each(loaded: model.LoadedSuite, limit_per_task: int | None) -> model.LoadedSuite:
    """The suite with at most that many examples in each task."""
    examples = {name: select(each, limit_per_task) for name, each in loaded.examples.items()}
    return replace(loaded, examples=examples)


def select(examples: Sequence[model.Example], limit: int | None) -> tuple[model.Example, ...]:
    """A subset spread evenly over groups and patterns; the same whatever the order of the file."""
    if limit is not None and limit < 1:
        raise ValueError(f"limitPerTask: {limit} selects nothing; give 1 or more, or leave it out for all examples")
    if limit is None or limit >= len(examples):
        return tuple(sorted(examples, key=lambda each: each.id))
    picks = _round_robin(examples)
    return tuple(sorted((next(picks) for _ in range(limit)), key=lambda each: each.id))


def _round_robin(examples: Sequence[model.Example]) -> Iterator[model.Example]:
    """One example of every group in turn, each time of the pattern that was used least."""
    waiting = _by_group_and_pattern(examples)
    used: Counter[str] = Counter()
    while waiting:
        for group in list(waiting):
            patterns = waiting[group]
            pattern = min(patterns, key=lambda each: (used[each], _hash(each, group)))
            used[pattern] += 1
            yield patterns[pattern].pop()
            if not patterns[pattern]:
                del patterns[pattern]
            if not patterns:
                del waiting[group]


def _by_group_and_pattern(examples: Sequence[model.Example]) -> dict[str, dict[str, list[model.Example]]]:
    waiting: dict[str, dict[str, list[model.Example]]] = defaultdict(lambda: defaultdict(list))
    for example in sorted(examples, key=lambda each: _hash(each.id)):
        waiting[example.group][example.pattern or ""].append(example)
    return {group: dict(waiting[group]) for group in sorted(waiting, key=_hash)}


def _hash(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()
