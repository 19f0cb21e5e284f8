"""Amounts as Kubernetes writes them: `24Gi`, `500m`, `1e9`."""

from __future__ import annotations

import re
from decimal import Decimal

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_QUANTITY = re.compile(r"([-+]?[0-9]{1,18}(?:[.][0-9]{0,9})?(?:[eE][-+]?[0-9]{1,2})?)([numkMGTPE]|[KMGTPE]i|)")


def quantity(text: str) -> Decimal | None:
    """The amount, in units of its own; None where it is none."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, suffix = Decimal(match[1]), match[2]
    return number * 2 ** _BINARY[suffix] if suffix in _BINARY else number.scaleb(_DECIMAL[suffix])
