"""Numbers as they are reported: always with the same number of decimals, differences with their sign."""

from __future__ import annotations

import math

_SMALLEST_P = 1e-4
UNBOUNDED = "unbounded"
"""Said of an end of an interval that too few groups leave open."""


def score(value: float) -> str:
    """A mean that is summed up in another order may differ in its last bit, and must not read as another score."""
    return f"{round(value, 12):.4f}"


def difference(value: float) -> str:
    return _signed(value, 4)


def bound(value: float) -> str | None:
    """One end of an interval; None where there is none, since infinity is no decimal."""
    return None if math.isinf(value) else difference(value)


def interval(low: float, high: float, decimals: int = 3) -> str:
    """Both ends as people read them."""
    ends = (UNBOUNDED if math.isinf(end) else f"{end:+.{decimals}f}" for end in (low, high))
    return f"[{', '.join(ends)}]"


def percent(value: float) -> str:
    return _signed(value, 1)


def probability(value: float) -> str:
    """Rounded up where it is tiny: ten thousand flips cannot tell more."""
    return f"{max(value, _SMALLEST_P):.4f}"


def _signed(value: float, decimals: int) -> str:
    """Zero has no sign, whichever side it was rounded from."""
    text = f"{round(value, 12):+.{decimals}f}"
    return text[1:] if float(text) == 0 else text
