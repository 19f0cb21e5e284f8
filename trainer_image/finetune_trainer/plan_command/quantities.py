"""Amounts of memory as Kubernetes writes them."""

from __future__ import annotations

import re
from decimal import Decimal

from finetune_trainer.plan_command.errors import InputError

_UNITS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_QUANTITY = re.compile(r"([0-9]{1,15}(?:[.][0-9]{1,9})?)([kMGT]|[KMGT]i|)")
_LEAST = 2**30


def memory_bytes(text: str, option: str) -> int:
    """Bytes of `24Gi`. InputError where it is no amount, or less than any GPU has: most often a forgotten unit."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InputError(f'{option}: "{text}" is not an amount of memory; write it such as 24Gi or 81920Mi')
    amount = int(Decimal(match[1]) * _UNITS[match[2]])
    if amount < _LEAST:
        raise InputError(f"{option}: {text} is less than 1Gi, so it cannot be a GPU's memory; write it such as 24Gi")
    return amount
