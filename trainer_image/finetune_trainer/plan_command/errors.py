"""What is wrong with how the command was called, or with what it was given."""

from __future__ import annotations


class InputError(ValueError):
    """Names the field or the option, and the remedy."""
