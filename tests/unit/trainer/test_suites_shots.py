"""Worked examples before a question: where they come from, how they are written, and never one that is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.sources import SuiteSplit
from finetune_trainer.scoring import scorers
from finetune_trainer.suites import digest, load, shots
from finetune_trainer.suites.model import LoadedSuite, SuiteError
from finetune_trainer.suites.selection import select_each
from finetune_trainer.suites.splitting import is_search, take


def row(number: int, **changes: Any) -> dict[str, Any]:
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"EPS of company {number}?"}]
    basis = {"id": f"e{number:02d}", "task": "eps", "group": f"Company {number}", "messages": asked, "reference": "1.5"}
    return basis | changes


def write(folder: Path, rows: list[dict[str, Any]], worked: list[dict[str, Any]] | None = None) -> LoadedSuite:
    scorer = {"kind": "number", "marker": "EPS:"}
    task = {"name": "eps", "title": "EPS", "scorer": scorer, "examples": "eps.jsonl"}
    suite = {"name": "mine", "version": "1", "title": "Mine", "tasks": [task]}
    if worked is not None:
        suite["shots"] = "shots.jsonl"
        (folder / "shots.jsonl").write_text("".join(json.dumps(each) + "\n" for each in worked))
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    (folder / "eps.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    return load.load_suite(folder)


def contents(suite: LoadedSuite) -> list[str]:
    return [f"{turn.role}: {turn.content}" for turn in suite.examples["eps"][0].messages or ()]


def test_shots_stand_between_the_systems_message_and_the_question(tmp_path: Path) -> None:
    worked = [row(90), row(91, answer="EPS: $1.50")]
    whole = write(tmp_path, [row(1)], worked)
    assert contents(shots.with_shots(whole, whole, 2)) == [
        "system: Be brief.",
        "user: EPS of company 90?",
        "assistant: EPS: 1.5",
        "user: EPS of company 91?",
        "assistant: EPS: $1.50",
        "user: EPS of company 1?",
    ]


def test_a_prompt_has_its_shots_in_front(tmp_path: Path) -> None:
    ask = {"messages": None, "prompt": "EPS?"}
    whole = write(tmp_path, [row(1, **ask)], [row(90, **ask | {"prompt": "EPS of Acme?"})])
    (found,) = shots.with_shots(whole, whole, 1).examples["eps"]
    assert found.prompt == "EPS of Acme? EPS: 1.5\n\nEPS?"


def test_without_shots_of_its_own_they_are_of_the_search_groups(tmp_path: Path) -> None:
    whole = write(tmp_path, [row(number) for number in range(60)])
    asked = take(whole, SuiteSplit.HOLDOUT)
    put = shots.with_shots(asked, whole, 3)
    shown = {turn.content for turn in put.examples["eps"][0].messages or () if turn.role == "user"}
    of_search = {
        (each.messages or ())[-1].content for each in whole.examples["eps"] if is_search(whole.suite, each.group)
    }
    assert len(shown) == 4
    assert len(shown & of_search) == 3


def test_the_question_keeps_its_id_reference_and_the_suite_its_digest(tmp_path: Path) -> None:
    whole = write(tmp_path, [row(1), row(2)], [row(90)])
    put = shots.with_shots(whole, whole, 1)
    assert [(each.id, each.reference) for each in put.examples["eps"]] == [("e01", "1.5"), ("e02", "1.5")]
    assert shots.questions_digest(put) != shots.questions_digest(whole)
    assert shots.with_shots(whole, whole, 0) is whole
    assert digest.suite_digest(take(whole, SuiteSplit.ALL)) == digest.suite_digest(whole)


@pytest.mark.parametrize(
    ("worked", "wanted", "message"),
    [
        ([row(90)], 2, "2 worked examples of task 'eps' are wanted, but there are 1"),
        (None, 1, "1 worked examples of task 'eps' are wanted, but there are 0"),
        ([row(1, id="other")], 1, "'other' is asked, too"),
        ([row(90, messages=None, prompt="?")], 1, "write its shots as its questions"),
    ],
)
def test_shots_that_prove_nothing_are_refused(
    tmp_path: Path, worked: list[dict[str, Any]] | None, wanted: int, message: str
) -> None:
    whole = write(tmp_path, [row(1)], worked)
    with pytest.raises(SuiteError, match=message):
        shots.with_shots(whole, whole, wanted)


@pytest.mark.parametrize(
    ("worked", "message"),
    [
        ([row(1)], r"shots\.jsonl, line 1: id: 'e01' is used in eps\.jsonl, line 1"),
        ([row(90, task="mood")], r"shots\.jsonl, line 1: task: 'mood' shows no answers"),
        ([row(90, reference="much")], r"shots\.jsonl, line 1: reference: 'much' is not one number"),
    ],
)
def test_a_mistake_in_the_shots_is_answered_with_its_place(
    tmp_path: Path, worked: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(SuiteError, match=message):
        write(tmp_path, [row(1)], worked)


def test_an_answer_belongs_to_worked_examples_alone(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="answer: only a worked example"):
        write(tmp_path, [row(1, answer="EPS: 1.5")])


def test_the_finance_suite_shows_eight_right_answers_of_companies_that_it_never_asks_about() -> None:
    whole = load.load_suite(load.builtin_suite_folder("finance"))
    groups = {each.group for examples in whole.examples.values() for each in examples}
    for task in whole.suite.scored_tasks:
        worked = [each for each in whole.shots if each.task == task.name]
        assert len(worked) == 8
        assert not groups & {each.group for each in worked}
        assert all(scorers.score(task, shots.answer(task, each), each).value == 1.0 for each in worked)
    asked = select_each(take(whole, SuiteSplit.HOLDOUT), 5)
    put = shots.with_shots(asked, whole, 8)
    assert all(len(each.messages or ()) == 17 for each in put.examples["eps-extraction"])
    assert put.examples["perplexity"] == asked.examples["perplexity"]
