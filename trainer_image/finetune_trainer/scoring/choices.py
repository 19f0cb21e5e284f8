"""Multiple choice: which of the choices a text or a letter stands for."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from finetune_trainer.scoring import texts

MOST_CHOICES = len(string.ascii_uppercase)

_LETTER = re.compile(r"\(?([A-Za-z])[).:]?")


def index_of(text: str, choices: Sequence[str]) -> int | None:
    """The choice with these words, or else with this letter (`B`, `(b)`, `B.`); None where it is neither."""
    same = [number for number, choice in enumerate(choices) if texts.normalised(choice) == texts.normalised(text)]
    if same:
        return same[0] if len(same) == 1 else _exact_index(text, choices)
    letter = _LETTER.fullmatch(text.strip())
    number = string.ascii_uppercase.index(letter[1].upper()) if letter else len(choices)
    return number if number < len(choices) else None


def _exact_index(text: str, choices: Sequence[str]) -> int | None:
    """Choices may differ in what is ignored elsewhere, such as a sign's spelling."""
    return next((number for number, choice in enumerate(choices) if choice == text.strip()), None)
