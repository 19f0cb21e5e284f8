"""The likelihood of raw text: every token once, with as much before it as the window holds."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel

from finetune_trainer.evaluation.examination import Examiner
from finetune_trainer.evaluation.likelihood import negative_log_likelihoods, window_length, windows


def text(length: int, seed: int = 1) -> tuple[int, ...]:
    chance = random.Random(seed)
    return tuple(chance.randrange(2, 300) for _ in range(length))


def by_hand(model: PreTrainedModel, tokens: tuple[int, ...]) -> float:
    """Token by token, each after all that is before it."""
    total = 0.0
    for position in range(1, len(tokens)):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([tokens[:position]])).logits[0, -1].double()
        total -= float(torch.log_softmax(logits, dim=-1)[tokens[position]])
    return total


@given(st.integers(0, 200), st.integers(2, 40))
def test_every_token_but_the_first_is_scored_once(length: int, window: int) -> None:
    tokens = tuple(range(length))
    scored = Counter(token for piece in windows(tokens, window) for token in piece.tokens[piece.seen :])
    assert scored == Counter(tokens[1:])


@given(st.integers(0, 200), st.integers(2, 40))
def test_a_token_has_half_a_window_before_it_or_the_whole_text(length: int, window: int) -> None:
    tokens = tuple(range(length))
    for piece in windows(tokens, window):
        assert len(piece.tokens) <= window
        assert piece.tokens[0] == 0 or piece.seen >= window // 2


def test_the_likelihood_is_that_of_every_token_after_those_before_it(tiny_language_model: PreTrainedModel) -> None:
    texts = [text(9), text(31, seed=2), text(2, seed=3)]
    found = negative_log_likelihoods(tiny_language_model, [windows(each, 64)[0] for each in texts])
    assert found == pytest.approx([by_hand(tiny_language_model, each) for each in texts], rel=1e-5)


def test_a_long_text_is_the_sum_of_its_windows(tiny_language_model: PreTrainedModel) -> None:
    examiner = Examiner(tiny_language_model, tokenizer=None, end_tokens=frozenset(), window=16)  # type: ignore[arg-type]
    long = text(50)
    pieces = windows(long, 16)
    assert len(pieces) > 4
    alone = [negative_log_likelihoods(tiny_language_model, [piece])[0] for piece in pieces]
    found = examiner.negative_log_likelihood([text(5), long])
    assert found[1] == pytest.approx(sum(alone), rel=1e-5)


def test_the_window_is_the_models_context_within_reason() -> None:
    assert (window_length(512), window_length(131_072), window_length(None)) == (512, 2048, 2048)
