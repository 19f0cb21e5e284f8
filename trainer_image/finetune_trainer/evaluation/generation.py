"""Greedy answers in batches: what `model.generate` gives, token for token, with less computing.

Two things are not computed again: the instruction that all questions of a task begin with, which goes through the model
once, and rows whose answer has ended, which leave the batch. And what is remembered of earlier tokens is not moved for
each new one.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from finetune_trainer.evaluation.attention_cache import growing_cache
from finetune_trainer.evaluation.soundness import check_no_nan

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Prefix:
    """Tokens that prompts begin with, and what the model remembers of them."""

    tokens: Tokens
    cache: DynamicCache

    def cache_for(self, rows: int) -> DynamicCache:
        """A copy that can grow, for that many rows."""
        cache = copy.deepcopy(self.cache)
        if self.tokens:
            cache.batch_repeat_interleave(rows)
        return cache


class Generator:
    """Answers prompts with one model."""

    def __init__(self, model: PreTrainedModel, end_tokens: Collection[int]) -> None:
        self._model = model
        self._end_tokens = frozenset(end_tokens)

    def prefix(self, tokens: Tokens) -> Prefix:
        """Runs what prompts begin with. Not all of a prompt: the answer follows from the prompt's last token.

        Layers that look back on some tokens only would count the gap between beginning and rest as tokens; where there
        are such layers, every prompt is run as a whole.
        """
        if getattr(self._model.config, "sliding_window", None):
            tokens = ()
        cache = growing_cache(self._model.config)
        if tokens:
            _next_tokens(self._model, torch.tensor([tokens]), torch.ones(1, len(tokens), dtype=torch.long), cache)
        return Prefix(tokens, cache)

    def answer(self, prompts: Sequence[Tokens], prefix: Prefix, max_new_tokens: int) -> list[Tokens]:
        """The answers' tokens, without the token that ended them."""
        batch = _Batch(self._model, prompts, prefix)
        while batch.is_going_on and batch.generated < max_new_tokens:
            batch.step(self._end_tokens)
        return [tuple(answer) for answer in batch.answers]


class _Batch:
    """Prompts that are answered together, padded on the left; the mask says which of the cached tokens count."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Tokens], prefix: Prefix) -> None:
        rests = [prompt[len(prefix.tokens) :] for prompt in prompts]
        gaps = [max(map(len, rests)) - len(rest) for rest in rests]
        self.answers: list[list[int]] = [[] for _ in prompts]
        self.generated = 0
        self._model = model
        self._cache = prefix.cache_for(len(prompts))
        self._numbers = list(range(len(prompts)))
        self._inputs = torch.tensor([[0] * gap + list(rest) for gap, rest in zip(gaps, rests, strict=True)])
        self._mask = torch.ones(len(prompts), len(prefix.tokens) + self._inputs.shape[1], dtype=torch.long)
        for row, gap in enumerate(gaps):
            self._mask[row, len(prefix.tokens) : len(prefix.tokens) + gap] = 0

    @property
    def is_going_on(self) -> bool:
        return bool(self._numbers)

    def step(self, end_tokens: frozenset[int]) -> None:
        """One more token for every row that has not ended."""
        following = _next_tokens(self._model, self._inputs, self._mask, self._cache)
        going_on = [row for row, token in enumerate(following) if token not in end_tokens]
        self._keep(going_on)
        self._inputs = torch.tensor([[following[row]] for row in going_on])
        self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=1)
        self.generated += 1
        for number, row in zip(self._numbers, going_on, strict=True):
            self.answers[number].append(following[row])

    def _keep(self, rows: list[int]) -> None:
        """Lets all other rows go. An empty batch keeps its cache: nobody will ask it again."""
        if rows and len(rows) < len(self._numbers):
            index = torch.tensor(rows)
            self._cache.batch_select_indices(index.to(self._model.device))
            self._mask = self._mask[index]
        self._numbers = [self._numbers[row] for row in rows]


def _next_tokens(model: PreTrainedModel, inputs: torch.Tensor, mask: torch.Tensor, cache: DynamicCache) -> list[int]:
    """The likeliest token to follow each row."""
    positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)[:, -inputs.shape[1] :]
    with torch.inference_mode():
        output = model(
            input_ids=inputs.to(model.device),
            attention_mask=mask.to(model.device),
            position_ids=positions.to(model.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    logits = output.logits[:, -1]
    check_no_nan(logits)
    following: list[int] = logits.argmax(dim=-1).tolist()
    return following
