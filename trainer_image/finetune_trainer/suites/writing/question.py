"""A text with the right answer to the question that is asked of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """What is read, what a scorer compares with, and what a trained model should say."""

    text: str
    reference: str
    answer: str
