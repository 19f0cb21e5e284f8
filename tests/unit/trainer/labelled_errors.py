"""Wrong answers whose cause was labelled before there were rules: 50 of each cause, half of them kept for the test.

Each was written from its cause: a source, its right answer, and an answer that is wrong in this one way. So a label
says how the answer was made, and no rule was asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_api.comparison import ErrorCause
from finetune_trainer.flips.causes import cause_of
from finetune_trainer.suites.load import builtin_suite_folder, load_suite

_FILE = Path(__file__).with_name("error_causes.jsonl")
_SUITE = load_suite(builtin_suite_folder("finance")).suite


@dataclass(frozen=True)
class LabelledError:
    """One wrong answer."""

    id: str
    half: str
    cause: ErrorCause
    task: str
    question: str
    reference: str
    prediction: str

    @property
    def found(self) -> ErrorCause:
        """The cause that the rules name."""
        return cause_of(self.question, self.reference, self.prediction, _SUITE.task(self.task).scorer)


def labelled_errors() -> tuple[LabelledError, ...]:
    documents = (json.loads(line) for line in _FILE.read_text().splitlines())
    return tuple(LabelledError(**document | {"cause": ErrorCause(document["cause"])}) for document in documents)


def macro_f1(errors: Sequence[LabelledError]) -> float:
    """Mean over the causes of the harmonic mean of precision and recall."""
    causes = sorted({each.cause for each in errors})
    return sum(_f1(errors, cause) for cause in causes) / len(causes)


def _f1(errors: Sequence[LabelledError], cause: ErrorCause) -> float:
    hits = sum(each.cause == each.found == cause for each in errors)
    named = sum(each.cause == cause for each in errors) + sum(each.found == cause for each in errors)
    return 2 * hits / named
