"""Amounts of GPU memory, as an option gives them."""

from __future__ import annotations

from finetune_trainer.plan_command.errors import InputError
from finetune_trainer.quantities import quantity

_LEAST = 2**30


def memory_bytes(text: str, option: str) -> int:
    """Bytes of `24Gi`. InputError where it is no amount, or less than any GPU has: most often a forgotten unit."""
    amount = quantity(text)
    if amount is None:
        raise InputError(f'{option}: "{text}" is not an amount of memory; write it such as 24Gi or 81920Mi')
    if amount < _LEAST:
        raise InputError(f"{option}: {text} is less than 1Gi, so it cannot be a GPU's memory; write it such as 24Gi")
    return int(amount)
