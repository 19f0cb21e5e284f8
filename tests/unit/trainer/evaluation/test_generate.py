"""Greedy answers: those of the library, whatever is answered together."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel

from finetune_trainer.evaluation.batches import batches, common_beginning
from finetune_trainer.evaluation.generation import Generator

Prompt = tuple[int, ...]

SHARED: Prompt = (5, 9, 40, 41, 42, 17)
NEW_TOKENS = 12
PROMPTS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8).map(tuple), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    chance = random.Random(3)
    return [SHARED + tuple(chance.randrange(2, 300) for _ in range(chance.randrange(1, 20))) for _ in range(13)]


@pytest.fixture(scope="module")
def end_tokens(tiny_language_model: PreTrainedModel, prompts: list[Prompt]) -> frozenset[int]:
    """Tokens that the model is fond of, so that some answers end early, some at once and some not at all."""
    unended = reference_answers(tiny_language_model, prompts, frozenset({10_000}))
    return frozenset({1, unended[0][0], unended[1][3], unended[2][7]})


def reference_answers(model: PreTrainedModel, prompts: list[Prompt], ends: frozenset[int]) -> list[Prompt]:
    """One prompt at a time, by the library."""
    return [reference_answer(model, prompt, ends) for prompt in prompts]


def reference_answer(model: PreTrainedModel, prompt: Prompt, ends: frozenset[int]) -> Prompt:
    inputs = torch.tensor([prompt])
    output = model.generate(
        input_ids=inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        eos_token_id=sorted(ends),
        pad_token_id=1,
    )
    answer = output[0, len(prompt) :].tolist()
    return tuple(answer[:-1] if answer[-1] in ends else answer)


def answers(generator: Generator, prompts: list[Prompt], size: int, prefix: Prompt = ()) -> list[Prompt]:
    remembered = generator.prefix(prefix)
    cut = [prompts[start : start + size] for start in range(0, len(prompts), size)]
    return [answer for batch in cut for answer in generator.answer(batch, remembered, NEW_TOKENS)]


@pytest.mark.parametrize("size", [1, 4, 13])
@pytest.mark.parametrize("prefix", [(), SHARED], ids=["whole prompts", "shared beginning"])
def test_answers_are_those_of_the_library_at_any_batch_size(
    tiny_language_model: PreTrainedModel, prompts: list[Prompt], end_tokens: frozenset[int], size: int, prefix: Prompt
) -> None:
    expected = reference_answers(tiny_language_model, prompts, end_tokens)
    found = answers(Generator(tiny_language_model, end_tokens), prompts, size, prefix)
    assert found == expected
    assert {len(answer) < NEW_TOKENS for answer in found} == {True, False}


def test_an_answer_may_end_before_it_began(tiny_language_model: PreTrainedModel, prompts: list[Prompt]) -> None:
    everything = frozenset(range(tiny_language_model.config.vocab_size))
    assert answers(Generator(tiny_language_model, everything), prompts, 5) == [()] * len(prompts)


def test_a_prefix_serves_many_batches(tiny_language_model: PreTrainedModel, prompts: list[Prompt]) -> None:
    generator = Generator(tiny_language_model, frozenset({1}))
    prefix = generator.prefix(SHARED)
    first = generator.answer(prompts, prefix, NEW_TOKENS)
    assert generator.answer(prompts, prefix, NEW_TOKENS) == first


@given(PROMPTS)
def test_the_common_beginning_leaves_something_of_every_prompt(prompts: list[Prompt]) -> None:
    beginning = common_beginning(prompts)
    assert all(prompt[: len(beginning)] == beginning and len(prompt) > len(beginning) for prompt in prompts)
    longer = len(beginning) + 1
    assert len({prompt[:longer] for prompt in prompts}) > 1 or longer >= min(map(len, prompts))


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 7), st.integers(1, 120))
def test_batches_hold_everything_once_and_are_never_too_large(lengths: list[int], rows: int, tokens: int) -> None:
    cut = batches(lengths, lambda length: length, rows=rows, tokens=tokens)
    assert [length for batch in cut for length in batch] == sorted(lengths, reverse=True)
    assert all(len(batch) <= rows and (len(batch) == 1 or len(batch) * batch[0] <= tokens) for batch in cut)
