"""The converters by the names that users give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from finetune_trainer.suite_command.published.converted import Converted
from finetune_trainer.suite_command.published.finqa import finqa
from finetune_trainer.suite_command.published.fiqa import fiqa
from finetune_trainer.suite_command.published.phrasebank import phrasebank

FORMATS: Mapping[str, Callable[[Sequence[Path]], Converted]] = {
    "fiqa": fiqa,
    "phrasebank": phrasebank,
    "finqa": finqa,
}
