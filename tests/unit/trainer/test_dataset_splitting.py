"""The split follows from seed and content alone."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.dataset.examples import PromptCompletion, to_line
from finetune_trainer.dataset.reading import NumberedExample
from finetune_trainer.dataset.splitting import copies, split

TENTH = Decimal("0.1")


def numbered(*answers: str) -> list[NumberedExample]:
    return [NumberedExample(line, PromptCompletion("question", answer)) for line, answer in enumerate(answers, start=1)]


def different(count: int) -> list[NumberedExample]:
    return numbered(*(str(index) for index in range(count)))


def contents(examples: tuple[NumberedExample, ...]) -> set[str]:
    return {to_line(example.example) for example in examples}


@pytest.mark.parametrize(
    ("count", "fraction", "held_out"),
    [(160, "0.1", 16), (160, "0", 0), (5, "0.1", 1), (2, "0.1", 1), (1, "0.5", 0), (9, "0.5", 4)],
)
def test_the_share_is_held_out_and_at_least_one(count: int, fraction: str, held_out: int) -> None:
    parts = split(different(count), Decimal(fraction), seed=42)
    assert (len(parts.train), len(parts.validation)) == (count - held_out, held_out)


def test_the_order_of_the_lines_does_not_matter() -> None:
    examples = different(50)
    assert contents(split(examples, TENTH, 42).validation) == contents(split(examples[::-1], TENTH, 42).validation)


def test_another_seed_holds_out_others() -> None:
    examples = different(200)
    assert contents(split(examples, TENTH, 1).validation) != contents(split(examples, TENTH, 2).validation)


def test_the_digest_tells_contents_and_split_apart() -> None:
    examples = different(50)
    digests = {
        split(examples, TENTH, 1).digest,
        split(examples, TENTH, 2).digest,
        split(examples[1:], TENTH, 1).digest,
    }
    assert len(digests) == 3
    assert split(examples, TENTH, 1).digest in digests


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), st.sampled_from(["0", "0.1", "0.3", "0.5"]))
def test_no_content_is_on_both_sides_and_something_is_left_to_learn(answers: list[str], fraction: str) -> None:
    examples = numbered(*answers)
    parts = split(examples, Decimal(fraction), seed=7)
    assert not contents(parts.train) & contents(parts.validation)
    assert len(parts.train) + len(parts.validation) == len(examples)
    assert parts.train
    if Decimal(fraction) > 0 and len(set(answers)) > 1:
        assert parts.validation


def test_copies_are_counted() -> None:
    assert copies(numbered("a", "b", "a", "a")) == 2
