"""Whether an answer declines to answer."""

from __future__ import annotations

import re

from finetune_trainer.scoring import numbers

_REFUSAL = re.compile(
    r"\b(?:I|we)(?:'m| am| are| was)? ?(?:cannot|can't|could not|couldn't|won't|refuse|decline|must decline"
    r"|unable|not able|afraid|sorry|do(?:n't| not) (?:know|have|feel)|would need|have no)\b"
    r"|\bI'd need\b|\b(?:sorry|apologies|unfortunately)\b|\bas an? (?:AI|(?:large )?language)\b"
    r"|\b(?:not|isn't|no|insufficient|enough|sufficient) (?:information|data|context|detail|answer)\b"
    r"|\b(?:is not|isn't|are not|not) (?:given|stated|disclosed|provided|available|mentioned|possible|known)\b"
    r"|\bimpossible\b|\bunable to\b|\bunknown\b|\bn/?a\b|\bunclear\b"
    r"|\bcan(?:not|'t| not) be (?:determined|answered|given|calculated|known|told|said)\b",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)\d\d")


def is_refusal(answer: str) -> bool:
    """It says that it cannot or will not, and gives no figure all the same."""
    text = numbers.plain(answer)
    return _REFUSAL.search(text) is not None and not any(
        _YEAR.fullmatch(text, number.start, number.end) is None for number in numbers.find_numbers(text)
    )
