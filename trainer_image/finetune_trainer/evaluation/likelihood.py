"""How likely a model finds raw text: negative log-likelihood in nats, summed over the text in double precision.

A text longer than the window is read in windows that overlap by half, and each window scores only the tokens that no
window before it has scored: every token is scored once, with at least half a window of text before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from finetune_trainer.evaluation.soundness import check_no_nan

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LONGEST_WINDOW = 2048
"""Tokens. Longer windows would cost memory with the square of their length and say little more."""
TOKENS_AT_ONCE = 1024
"""Logits of so many tokens are in memory together, unless one window has more: 200 MB for 49,000 words."""


@dataclass(frozen=True)
class Window:
    """A piece of a text; the first `seen` of its tokens are there only to be looked back on."""

    tokens: tuple[int, ...]
    seen: int


def window_length(context: int | None) -> int:
    """Tokens of a window: the model's context, within reason."""
    return LONGEST_WINDOW if context is None else min(context, LONGEST_WINDOW)


def windows(tokens: Sequence[int], length: int) -> list[Window]:
    """Cuts a text so that each token but the first is scored in exactly one window."""
    cut: list[Window] = []
    scored = 1
    while scored < len(tokens):
        end = min(len(tokens), length if not cut else scored + length // 2)
        start = max(0, end - length)
        cut.append(Window(tuple(tokens[start:end]), scored - start))
        scored = end
    return cut


def negative_log_likelihoods(model: PreTrainedModel, batch: Sequence[Window]) -> list[float]:
    """Of each window's unseen tokens. Padding on the right is never looked at: a token sees only what is before it."""
    longest = max(len(window.tokens) for window in batch)
    inputs = torch.zeros((len(batch), longest), dtype=torch.long)
    is_scored = torch.zeros((len(batch), longest - 1), dtype=torch.bool)
    for row, window in enumerate(batch):
        inputs[row, : len(window.tokens)] = torch.tensor(window.tokens)
        is_scored[row, window.seen - 1 : len(window.tokens) - 1] = True
    inputs, is_scored = inputs.to(model.device), is_scored.to(model.device)
    with torch.inference_mode():
        logits = model(input_ids=inputs, use_cache=False).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits[is_scored].float(), inputs[:, 1:][is_scored], reduction="none")
    check_no_nan(losses)
    sums = torch.zeros(len(batch), dtype=torch.float64, device=losses.device)
    sums.index_add_(0, is_scored.nonzero()[:, 0], losses.double())
    values: list[float] = sums.tolist()
    return values
