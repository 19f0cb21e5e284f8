"""Tells a file that a user forgot to make readable from a defect of ours, whichever library ran into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from finetune_api.conditions import Reason
from finetune_api.orders import Location, Order
from finetune_trainer.failures import UserError

_REASONS = {"dataset": Reason.DATASET_INVALID, "suite": Reason.SUITE_INVALID}


def as_unreadable_input(error: BaseException, order: Order) -> UserError | None:
    """What was copied to a volume as root, and for root alone, cannot be read by a pod that is not root."""
    if not isinstance(error, PermissionError) or error.filename is None:
        return None
    named = Path(os.fsdecode(error.filename))
    location = next((item for item in _locations(order) if named.is_relative_to(item.volume)), None)
    if location is None:
        return None
    reasons = [reason for word, reason in _REASONS.items() if word in location.manifest_field]
    return UserError(
        reasons[0] if reasons else Reason.MODEL_INVALID,
        f"{location.manifest_field}: '{named.relative_to(location.volume)}' may not be read by user {os.getuid()}; "
        "let every user read it: chmod -R a+rX",
    )


def _locations(value: object) -> Iterator[Location]:
    """All inputs that an order names."""
    if isinstance(value, Location):
        yield value
    elif isinstance(value, BaseModel):
        for _, content in value:
            yield from _locations(content)
    elif isinstance(value, tuple):
        for item in value:
            yield from _locations(item)
