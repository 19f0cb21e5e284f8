"""Which languages the examples are in. A text of few words has too little to tell by, and is not asked about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from finetune_trainer.dataset.quality.findings import Finding, FindingKind

FEWEST_WORDS = 20
SURE = 0.99
_RARE_SHARE = 0.05


def language_of(text: str) -> str | None:
    """Two letters (ISO 639-1), or None where the text is too short or the language doubtful."""
    if len(text.split()) < FEWEST_WORDS:
        return None
    language, sureness = _identifier().classify(text)
    return str(language) if sureness >= SURE else None


def rare_languages(languages: Mapping[int, str]) -> Iterator[Finding]:
    """Examples, by line, in a language that few others are in."""
    counts = Counter(languages.values())
    rare = {language for language, count in counts.items() if count < _RARE_SHARE * counts.total()}
    for line, language in languages.items():
        if language in rare:
            yield Finding(FindingKind.LANGUAGE, line, f"is in the language '{language}', as few others are", 0.3)


@cache
def _identifier() -> Any:
    """Loaded when the first text is long enough: it brings numpy along."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
