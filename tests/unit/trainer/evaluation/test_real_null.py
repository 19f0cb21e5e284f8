"""A real null: one model against itself, in bfloat16, at another batch size. Answers differ, and neither is better.

Right is what the model answers in float32, so each answer that rounding turns costs a score, on either side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from evaluation_desk import Desk, write_lines, write_suite

from finetune_api.evaluation import Decoding
from finetune_api.quantization import Precision
from finetune_api.results import CompareResult
from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer import compare, evaluate
from finetune_trainer.evaluation import examination
from finetune_trainer.scoring.predictions import read_predictions
from finetune_trainer.statistics.least_groups import MINIMUM_CHANGED_GROUPS

GROUPS, OF_EACH = 40, 5
DECODING = Decoding(max_new_tokens=48)
"""Long enough for rounding to turn an answer in four."""
USUAL, OTHER = 64, 5


def write_questions(desk: Desk, references: Mapping[str, str]) -> None:
    def one_task(document: dict[str, Any]) -> None:
        scorer = {"kind": "span"}
        length = DECODING.max_new_tokens
        document.pop("shots")
        document["tasks"] = [
            {"name": "tale", "title": "Tale", "scorer": scorer, "maxNewTokens": length, "examples": "tale.jsonl"}
        ]

    write_suite(desk.suite, one_task)
    names = [(group, number) for group in range(GROUPS) for number in range(OF_EACH)]
    write_lines(desk.suite / "tale.jsonl", [question(*name, references) for name in names])


def question(group: int, number: int, references: Mapping[str, str]) -> dict[str, Any]:
    name = f"{group:02d}-{number}"
    content = f"What of company {group}?" + " It sold more than before." * number
    return {
        "id": name,
        "task": "tale",
        "group": f"Company {group}",
        "messages": [{"role": "user", "content": content}],
        "reference": references.get(name, "not known yet"),
    }


def answers(desk: Desk, directory: str) -> dict[str, str]:
    order = desk.evaluate_order(directory)
    longer = {"decoding": DECODING, "digest": desk.digest(decoding=DECODING)}
    evaluate.run(order.model_copy(update=longer), desk.reporter())
    found = read_predictions(desk.root / directory / "evaluate" / "predictions.jsonl")
    return {each.id: each.prediction or "" for each in found}


def compared_at_two_batch_sizes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> tuple[CompareResult, int]:
    """And how many answers differ."""
    write_questions(desk, {})
    write_questions(desk, answers(desk, "float32"))
    monkeypatch.setattr(evaluate, "precision_for", lambda is_gpu: Precision.BFLOAT16)
    found = []
    for rows, directory in ((USUAL, "base"), (OTHER, "tuned")):
        monkeypatch.setattr(examination, "ROWS", rows)
        found.append(answers(desk, directory))
    differ = sum(found[0][name] != found[1][name] for name in found[0])
    return compare.run(desk.compare_order(), desk.reporter()), differ


def test_a_rerun_in_bfloat16_at_another_batch_size_is_neither_better_nor_worse(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, differ = compared_at_two_batch_sizes(desk, monkeypatch)
    overall = result.candidate.overall
    assert differ > GROUPS / 2
    assert changed_groups(desk) >= MINIMUM_CHANGED_GROUPS
    assert overall is not None and overall.reason is not VerdictReason.INSUFFICIENT_DATA
    assert result.candidate.verdict in {Verdict.NO_DIFFERENCE, Verdict.INCONCLUSIVE}
    assert float(overall.lower) <= 0 <= float(overall.upper)


def changed_groups(desk: Desk) -> int:
    scores = [
        [json.loads(line) for line in desk.predictions(directory).splitlines()] for directory in ("base", "tuned")
    ]
    return len({one["group"] for one, other in zip(*scores, strict=True) if one["score"] != other["score"]})
