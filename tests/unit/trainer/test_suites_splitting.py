"""Search and holdout: no group on both sides, and the same side always."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.sources import SuiteSplit
from finetune_trainer.suites import load, model, selection, splitting

SPLITS = (SuiteSplit.SEARCH, SuiteSplit.HOLDOUT)


def a_suite(groups: list[str], *, fraction: float = 0.2, name: str = "mine") -> model.LoadedSuite:
    task = {"name": "eps", "title": "EPS", "scorer": {"kind": "number"}, "examples": "eps.jsonl"}
    suite = model.Suite.model_validate(
        {"name": name, "version": "1", "title": "Mine", "searchFraction": fraction, "tasks": [task]}
    )
    examples = tuple(
        model.Example(id=str(number), task="eps", group=group, prompt="?", reference="1")
        for number, group in enumerate(groups)
    )
    return model.LoadedSuite(suite, {"eps": examples})


def groups_of(loaded: model.LoadedSuite, split: SuiteSplit) -> set[str]:
    return {each.group for each in splitting.take(loaded, split).examples["eps"]}


PINNED = ["Company 2", "Company 4", "Company 6", "Company 10", "Company 11", "Company 14", "Company 15"]
NUMBERED = [f"Company {number}" for number in range(1000)]


def test_every_group_is_on_one_side_and_a_fifth_of_them_in_search() -> None:
    loaded = a_suite(NUMBERED)
    search, holdout = (groups_of(loaded, split) for split in SPLITS)
    assert search | holdout == set(NUMBERED)
    assert not search & holdout
    assert 160 <= len(search) <= 240
    assert groups_of(loaded, SuiteSplit.ALL) == set(NUMBERED)


@given(st.sets(st.from_regex(r"[a-z]{1,12}", fullmatch=True), min_size=1, max_size=20))
def test_other_groups_change_no_groups_side(others: set[str]) -> None:
    alone = a_suite(NUMBERED[:50])
    together = a_suite(NUMBERED[:50] + sorted(others))
    for split in SPLITS:
        assert groups_of(alone, split) == groups_of(together, split) - (others - set(NUMBERED))


def test_a_larger_fraction_only_adds_to_the_search_groups() -> None:
    assert groups_of(a_suite(NUMBERED, fraction=0.1), SuiteSplit.SEARCH) < groups_of(
        a_suite(NUMBERED, fraction=0.4), SuiteSplit.SEARCH
    )


def test_the_side_is_the_published_hash() -> None:
    """Else a later version would put what was held out among what is chosen by."""
    assert [group for group in NUMBERED[:20] if splitting.is_search(a_suite(NUMBERED).suite, group)] == PINNED


def test_a_side_without_an_example_is_answered_with_what_to_do() -> None:
    with pytest.raises(model.SuiteError, match=r"eps\.jsonl: none of task 'eps''s groups is in the search split"):
        splitting.take(a_suite(NUMBERED, fraction=0), SuiteSplit.SEARCH)


def test_the_finance_suite_holds_out_enough_for_two_hundred_examples_a_task() -> None:
    loaded = load.load_suite(load.builtin_suite_folder("finance"))
    chosen = selection.select_each(splitting.take(loaded, SuiteSplit.HOLDOUT), 200)
    for examples in chosen.examples.values():
        sizes = Counter(example.group for example in examples)
        assert len(examples) == 200
        assert 200**2 / sum(size**2 for size in sizes.values()) >= 50
    search = splitting.take(loaded, SuiteSplit.SEARCH)
    assert all(len({each.group for each in examples}) >= 8 for examples in search.examples.values())
