"""Decides from the validation losses alone which checkpoint is the best, and when to stop looking for a better one."""

from __future__ import annotations

from collections.abc import Mapping

from finetune_api.finetunejob import EarlyStopping


def best_step(losses: Mapping[int, float]) -> int | None:
    """The step with the lowest loss, the earlier of equal ones; step 0, where nothing was learnt yet, is none."""
    return min((step for step in losses if step > 0), key=lambda step: (losses[step], step), default=None)


def is_over(losses: Mapping[int, float], rule: EarlyStopping) -> bool:
    """Whether the last `patience` looks were no improvement on the best before them."""
    best, looks_without = None, 0
    for step in sorted(step for step in losses if step > 0):
        if best is None or losses[step] < best - float(rule.min_improvement):
            best, looks_without = losses[step], 0
        else:
            looks_without += 1
        if looks_without >= rule.patience:
            return True
    return False
