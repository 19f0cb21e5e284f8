"""Copies and contradictions: what is left out, what only looks alike and stays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.dataset.examples import Conversation, Example, Message, PromptCompletion, Role
from finetune_trainer.dataset.quality.contradictions import contradictions
from finetune_trainer.dataset.quality.duplicates import distinct
from finetune_trainer.dataset.quality.findings import FindingKind
from finetune_trainer.dataset.quality.grams import shingles
from finetune_trainer.dataset.quality.similarity import SimilarTexts, jaccard
from finetune_trainer.dataset.quality.texts import text_of
from finetune_trainer.dataset.reading import NumberedExample, read_dataset

SIMILARITY = 0.85
NEWS = " ".join(f"word{number}" for number in range(60))
DEMO = Path(__file__).parents[3] / "examples" / "demo" / "train.jsonl"


def numbered(*examples: Example) -> tuple[NumberedExample, ...]:
    return tuple(NumberedExample(line, example) for line, example in enumerate(examples, start=1))


def kept(*examples: Example) -> list[int]:
    return [each.line for each in distinct(numbered(*examples), SIMILARITY).examples]


def asked(source: str, answer: str = "positive", instruction: str = "What is the sentiment?") -> PromptCompletion:
    return PromptCompletion(f"{instruction}\n\n{source}", answer)


def chat(*contents: str) -> Conversation:
    roles = itertools.cycle((Role.USER, Role.ASSISTANT))
    return Conversation(tuple(Message(role, content) for role, content in zip(roles, contents, strict=False)))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (asked("It earned $3.06."), "the very same"),
        (asked("it  EARNED\n $3.06.", " Positive "), "white space and case"),
        (asked("It earned \uff043.06."), "a full-width sign of the currency"),
        (chat("What is the sentiment?\n\nIt earned $3.06.", "positive"), "another shape"),
    ],
)
def test_the_same_in_another_spelling_is_left_out(other: Example, why: str) -> None:
    result = distinct(numbered(asked("It earned $3.06."), other), SIMILARITY)
    assert [each.line for each in result.examples] == [1], why
    (finding,) = result.findings
    assert (finding.kind, finding.line, finding.peer) == (FindingKind.EXACT_DUPLICATE, 2, 1)


def test_a_word_more_in_a_long_text_is_a_near_duplicate() -> None:
    (finding,) = distinct(numbered(asked(NEWS), asked(NEWS + " indeed")), SIMILARITY).findings
    assert (finding.kind, finding.line, finding.peer) == (FindingKind.NEAR_DUPLICATE, 2, 1)


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (asked(f"{NEWS} $3.06 {NEWS}"), asked(f"{NEWS} $3.07 {NEWS}"), "another figure"),
        (asked(f"{NEWS} -5% {NEWS}"), asked(f"{NEWS} 5% {NEWS}"), "another sign"),
        (asked(f"{NEWS} 5 million {NEWS}"), asked(f"{NEWS} 5 billion {NEWS}"), "another unit"),
        (asked(f"{NEWS} 5 then 6 {NEWS}"), asked(f"{NEWS} 6 then 5 {NEWS}"), "another order of the figures"),
        (asked(f"{NEWS} rose"), asked(f"{NEWS} fell", "negative"), "another answer"),
        (asked(NEWS), asked(NEWS, instruction="Is it good or bad?"), "another instruction"),
        (asked(f"{NEWS}\nDid sales rise?", "yes"), asked(f"{NEWS}\nDid costs rise?", "yes"), "another question"),
        (asked("Alder Foods beat all hopes."), asked("Birch Labs beat all hopes."), "a short text, another company"),
        (chat("Hello", "Hi", NEWS, "good"), chat("Hello", "Hi", NEWS + " or not?", "good"), "another last turn"),
    ],
)
def test_what_teaches_something_else_stays(one: Example, other: Example, why: str) -> None:
    assert kept(one, other) == [1, 2], why


def test_nothing_is_left_out_of_the_demos_examples() -> None:
    examples = read_dataset(DEMO).examples
    assert distinct(examples, SIMILARITY).findings == ()


@pytest.mark.parametrize("count", [0, 1, 500])
def test_of_rows_that_are_all_the_same_one_is_kept(count: int) -> None:
    result = distinct(numbered(*[asked("It rose.")] * count), SIMILARITY)
    assert (len(result.examples), len(result.findings)) == (min(count, 1), max(count - 1, 0))


WORDS = st.lists(st.sampled_from(["sales", "rose", "fell", "Rose", "5%", "6%"]), min_size=1, max_size=24)
ROWS = st.lists(
    st.builds(asked, WORDS.map(" ".join), st.sampled_from(["positive", "Positive", "negative"])), max_size=40
)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_nothing_is_kept_that_repeats_what_is_kept(rows: Sequence[PromptCompletion]) -> None:
    texts = [text_of(each.example) for each in distinct(numbered(*rows), SIMILARITY).examples]
    for one, other in itertools.combinations(texts, 2):
        agree = (one.answer, one.figures) == (other.answer, other.figures)
        assert not (agree and jaccard(shingles(one.words), shingles(other.words)) >= SIMILARITY)


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_exact_copies_and_contradictions_are_found_in_any_order(rows: list[PromptCompletion], chance: Random) -> None:
    shuffled = chance.sample(rows, len(rows))
    assert _found(rows) == _found(shuffled)


def _found(rows: Sequence[PromptCompletion]) -> tuple[int, list[str]]:
    examples = numbered(*rows)
    copies = distinct(examples, 1.0).findings
    answered = {each.line: text_of(each.example).question for each in examples}
    return len(copies), sorted(answered[finding.line] for finding in contradictions(examples))


def test_every_text_of_many_finds_its_near_duplicate_through_the_sketches() -> None:
    texts = SimilarTexts(SIMILARITY)
    sources = [[f"w{(number * 7919 + place * 31) % 4001}" for place in range(40)] for number in range(400)]
    for number, words in enumerate(sources):
        texts.add(number, shingles(words))
    for number, words in enumerate(sources):
        found = [each for each, _ in texts.like(shingles([*words, "more", "words"]))]
        assert number in found


def test_two_answers_to_one_question_contradict_each_other_and_stay() -> None:
    rows = numbered(asked("It rose."), asked("It fell.", "negative"), asked("IT ROSE.", "Negative"), asked("It rose."))
    found = contradictions(rows)
    assert [(finding.line, finding.peer) for finding in found] == [(1, 3), (3, 1), (4, 3)]
    assert {finding.kind for finding in found} == {FindingKind.CONTRADICTION}


def test_the_same_answer_in_another_case_is_no_contradiction() -> None:
    assert contradictions(numbered(asked("It rose."), asked("It rose.", "POSITIVE"))) == ()
