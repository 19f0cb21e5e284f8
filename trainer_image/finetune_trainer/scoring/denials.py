"""Whether the words before something deny it: 'not positive', 'did not grow', 'isn't 1.23'."""

from __future__ import annotations

import re

_NEGATION = re.compile(
    r"\b(?:(?:not(?! only\b)|no|non|nothing|never|neither|nor|without|hardly|barely|cannot|\w{2,8}n't|can't)\b"
    r"|fail(?:ed|s)? to\b)"
    r"(?: (?!but\b|rather\b|instead\b)[\w'/-]+){0,3} $",
    re.IGNORECASE,
)
_WORDS_BEFORE = 80
"""Characters looked at: a negation and three words fit."""


def is_denied(text: str, position: int) -> bool:
    """What starts at this position is denied by the words before it; the text has plain spaces and apostrophes."""
    return _NEGATION.search(text[max(0, position - _WORDS_BEFORE) : position]) is not None
