"""Numbers as they are reported: always with the same number of decimals, differences with their sign."""

from __future__ import annotations

_SMALLEST_P = 1e-4


def score(value: float) -> str:
    return f"{value:.4f}"


def difference(value: float) -> str:
    return _signed(value, 4)


def percent(value: float) -> str:
    return _signed(value, 1)


def probability(value: float) -> str:
    """Rounded up where it is tiny: ten thousand flips cannot tell more."""
    return f"{max(value, _SMALLEST_P):.4f}"


def _signed(value: float, decimals: int) -> str:
    """Zero has no sign, whichever side it was rounded from."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text
