"""Choosing fewer examples: even over groups and patterns, and the same every time."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.suites import load, selection
from finetune_trainer.suites.model import Example


def an_example(number: int, group: str, pattern: str | None = None) -> Example:
    return Example(id=f"e{number:04d}", task="eps", group=group, pattern=pattern, prompt="?", reference="1")


def spread(counts: Counter[str]) -> int:
    return max(counts.values()) - min(counts.values())


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("xyz")), min_size=1, max_size=60), st.data())
def test_the_choice_does_not_depend_on_the_order_of_the_file(kinds: list[tuple[str, str]], data: st.DataObject) -> None:
    examples = [an_example(number, *kind) for number, kind in enumerate(kinds)]
    limit = data.draw(st.integers(1, len(examples)))
    shuffled = data.draw(st.permutations(examples))
    chosen = selection.select(examples, limit)
    assert chosen == selection.select(shuffled, limit)
    assert len(set(chosen)) == limit


def test_no_group_is_taken_twice_before_each_was_taken_once() -> None:
    examples = [an_example(number, f"g{min(number // 2, 9)}") for number in range(200)]
    counts = Counter(example.group for example in selection.select(examples, 15))
    assert len(counts) == 10
    assert spread(counts) == 1


def test_the_finance_suite_keeps_its_variety_under_a_limit() -> None:
    loaded = load.load_suite(load.builtin_suite_folder("finance"))
    for task in loaded.suite.tasks:
        chosen = selection.select(loaded.examples[task.name], 200)
        groups = Counter(example.group for example in chosen)
        patterns = Counter(example.pattern or "" for example in chosen)
        assert (len(chosen), len(groups), spread(groups)) == (200, 80, 1)
        assert len(patterns) == len({example.pattern for example in loaded.examples[task.name]})
        assert spread(patterns) <= 2


def test_a_limit_above_the_number_of_examples_takes_all_in_the_order_of_ids() -> None:
    examples = [an_example(number, "g") for number in range(9)]
    mixed = random.Random(1).sample(examples, k=9)
    assert selection.select(mixed, 10) == selection.select(mixed, None) == tuple(examples)


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="limitPerTask: 0"):
        selection.select([an_example(1, "g")], 0)
