"""FiQA 2018, task 1: sentiment of headlines and posts about a company, from -1 to 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from finetune_trainer.suite_command.published import files
from finetune_trainer.suite_command.published.converted import Converted
from finetune_trainer.suite_command.published.moods import Mood, moods
from finetune_trainer.suites.model import SuiteError

NEUTRAL = Decimal("0.1")
"""Within this of 0 a score counts as neutral."""


def fiqa(paths: Sequence[Path]) -> Converted:
    """JSON by number with sentence and info, as the task gave it out, or a table with sentence, target and score."""
    return moods("fiqa", "FiQA sentiment", [_mood(*row) for path in paths for row in _rows(path)])


def _mood(place: str, row: Mapping[str, Any]) -> Mood:
    target = files.words(place, row, "target")
    return Mood(
        place=place,
        sentence=files.words(place, row, "sentence", "text"),
        mood=_polarity(place, files.column(place, row, "sentiment_score", "score")),
        group=target.casefold(),
        target=target,
    )


def _rows(path: Path) -> Iterator[files.Row]:
    if files.is_parquet(path) or path.suffix.lower() in (".csv", ".jsonl"):
        yield from files.table(path)
        return
    document = files.document(path)
    if not isinstance(document, dict):
        yield from files.table(path)
        return
    for key, entry in document.items():
        yield from _of_sentence(f"{path.name}, entry {key}", entry)


def _of_sentence(place: str, entry: Any) -> Iterator[files.Row]:
    if not isinstance(entry, dict) or not isinstance(entry.get("info"), list):
        raise SuiteError(f"{place}: expected a sentence and its info; is the file FiQA's task 1?")
    for info in entry["info"]:
        if not isinstance(info, dict):
            raise SuiteError(f"{place}: info: expected objects with target and sentiment_score")
        yield place, {"sentence": entry.get("sentence"), **info}


def _polarity(place: str, score: object) -> str:
    try:
        value = Decimal(str(score).strip())
    except InvalidOperation:
        raise SuiteError(f"{place}: sentiment_score: {score!r} is not a number") from None
    if not value.is_finite() or abs(value) > 1:
        raise SuiteError(f"{place}: sentiment_score: {score!r} does not lie between -1 and 1")
    return "neutral" if abs(value) <= NEUTRAL else "positive" if value > 0 else "negative"
