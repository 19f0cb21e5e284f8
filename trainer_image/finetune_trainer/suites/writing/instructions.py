"""What a model is asked, in the suite and in the training data alike: the form of the answer is always told."""

from __future__ import annotations

EPS = (
    "Give the GAAP diluted EPS of the period reported "
    "(negative for a loss; net income / diluted shares if not stated). "
    "Answer like this: EPS: 1.23"
)
SENTIMENT = "Is this news positive, negative or neutral for the company's investors? Answer with that one word."
REVENUE = (
    "By how many percent did revenue change from the earlier to the later period? "
    "Answer like this: up 12.5%, or: down 3.0%"
)


def prompt(instruction: str, text: str) -> str:
    """The question as one message: first what is asked, then the text that it is about."""
    return f"{instruction}\n\n{text}"
