"""The scorers against 300 outputs that people labelled by what a reader would say, before any scorer was asked."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.scoring import scorers
from finetune_trainer.suites import model

SCORERS: dict[str, dict[str, object]] = {
    "number": {"kind": "number", "marker": "EPS:", "absoluteTolerance": "0.005"},
    "label": {"kind": "label", "labels": ["positive", "negative", "neutral"]},
    "growth": {"kind": "growth", "tolerancePoints": "0.5"},
    "exact": {"kind": "exact", "marker": "Answer:"},
    "span": {"kind": "span", "marker": "Answer:"},
}
REQUIRED = 0.99


@dataclass(frozen=True)
class Labelled:
    """An output as a model wrote it, with the score that a reader gives it."""

    scorer: str
    reference: str
    output: str
    score: float
    why: str = ""

    def found(self) -> float:
        document = {"name": "t", "title": "t", "scorer": SCORERS[self.scorer], "examples": "t.jsonl"}
        example = model.Example(id="1", task="t", group="g", prompt="?", reference=self.reference)
        return scorers.score(model.Task.model_validate(document), self.output, example).value


def labelled_outputs() -> list[Labelled]:
    text = (Path(__file__).parent / "labelled_outputs.jsonl").read_text(encoding="utf-8")
    return [Labelled(**json.loads(line)) for line in text.splitlines()]


def test_scorers_agree_with_what_people_say_in_99_of_100_outputs() -> None:
    outputs = labelled_outputs()
    differing = [each for each in outputs if abs(each.found() - each.score) > 1e-3]
    assert 1 - len(differing) / len(outputs) >= REQUIRED, differing


def test_the_labelled_outputs_are_300_different_ones_of_every_scorer() -> None:
    outputs = labelled_outputs()
    assert len({(each.scorer, each.reference, each.output) for each in outputs}) == len(outputs) == 300
    assert min(Counter(each.scorer for each in outputs).values()) >= 50
    for scorer in SCORERS:
        right = [each.score > 0.5 for each in outputs if each.scorer == scorer]
        assert 0.3 <= sum(right) / len(right) <= 0.7, scorer
