"""A baseline that is shown worked examples is another evaluation, of the same suite."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from evaluation_desk import Desk

from finetune_trainer import compare


def test_worked_examples_change_the_answers_and_nothing_of_the_suite(desk: Desk) -> None:
    desk.evaluate("plain")
    desk.evaluate("shown", shots=2)
    plain, shown = (
        json.loads((desk.root / folder / "evaluate" / "evaluation.json").read_text()) for folder in ("plain", "shown")
    )
    assert shown["shots"] == 2
    assert shown["content"]["suite"] == plain["content"]["suite"]
    assert shown["digest"] != plain["digest"]
    answers = [
        {each["id"]: each.get("prediction") for each in map(json.loads, desk.predictions(folder).splitlines())}
        for folder in ("plain", "shown")
    ]
    assert answers[0].keys() == answers[1].keys()
    assert answers[0] != answers[1]
    assert {name: each for name, each in answers[0].items() if name.startswith("text")} == {
        name: each for name, each in answers[1].items() if name.startswith("text")
    }


def test_a_baseline_with_shots_is_compared_with_a_candidate_without(desk: Desk, adapter: Path) -> None:
    desk.evaluate("base", shots=1)
    desk.evaluate("tuned", adapter=adapter)
    result = compare.run(desk.compare_order(), desk.reporter())
    assert result.candidate.overall is not None
    shutil.rmtree(desk.root / "comparison")
