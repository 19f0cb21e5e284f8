"""Whether a text is about finance, on texts that the list of words was not written for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.dataset.quality.relevance import IRRELEVANT_BELOW, finance_lexicon, relevance

_TEXTS = Path(__file__).parent / "relevance_texts"


def texts(name: str) -> tuple[list[str], list[str]]:
    """Of finance, and of anything else."""
    finance, other = ((_TEXTS / f"{name}_{kind}.txt").read_text(encoding="utf-8") for kind in ("finance", "other"))
    return finance.splitlines(), other.splitlines()


def auroc(finance: list[float], other: list[float]) -> float:
    """Chance that a text of finance scores above another one; ties count half (Mann-Whitney U / (n m))."""
    wins = sum((high > low) + (high == low) / 2 for high in finance for low in other)
    return wins / (len(finance) * len(other))


_FITTED_TO = ("development", "more_development")
_UNSEEN = ("third_held_out", "fourth_held_out")


@pytest.mark.parametrize(
    ("name", "reached"), [*((name, 0.99) for name in _FITTED_TO), *((name, 0.95) for name in _UNSEEN)]
)
def test_the_score_tells_finance_from_anything_else(name: str, reached: float) -> None:
    finance, other = texts(name)
    assert min(len(finance), len(other)) >= 60
    assert auroc([relevance(text) for text in finance], [relevance(text) for text in other]) >= reached


def test_no_text_is_in_two_sets() -> None:
    every = [text for name in (*_FITTED_TO, *_UNSEEN) for kind in texts(name) for text in kind]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize(
    ("finance", "other"),
    [
        ("He holds the stock.", "Reduce the chicken stock."),
        ("The bank wrote off the loan.", "We sat on the bank of the river."),
        ("Interest rates rose.", "Her interest in birds rose."),
        ("It earned 3 cents a share.", "Please share the link."),
    ],
)
def test_a_word_counts_by_its_neighbours(finance: str, other: str) -> None:
    assert relevance(finance) > IRRELEVANT_BELOW > relevance(other)


@pytest.mark.parametrize(
    ("listed", "written"),
    [("dividend", "dividends"), ("refinance", "refinancing"), ("dividend", "dividend's"), ("debt", "debt-laden")],
)
def test_a_listed_word_is_found_in_other_forms(listed: str, written: str) -> None:
    assert finance_lexicon().score(written) >= finance_lexicon().score(listed) > IRRELEVANT_BELOW


@given(st.text())
def test_any_text_has_a_score_between_0_and_1(text: str) -> None:
    assert 0 <= relevance(text) <= 1


@given(st.integers(2, 50))
def test_a_repeated_word_convinces_no_more_than_a_few_times(times: int) -> None:
    assert finance_lexicon().score("dividend " * times) <= finance_lexicon().score("dividend dividend")
