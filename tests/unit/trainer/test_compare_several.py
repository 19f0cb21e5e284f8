"""`finetune compare` with several candidates: their order, their pairs, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.compare_command.command import main

SHARES = {"weak": 0.3, "strong": 0.9, "middling": 0.6}
FORMS = ("table", "json", "html", "markdown")


def write(path: Path, share: float, **changes: Any) -> Path:
    """That share of the answers is right, spread over forty companies."""
    rows = [
        {
            "id": f"{task}-{each}",
            "task": task,
            "group": f"company {each % 40}",
            "score": int((each * 0.618) % 1 < share),
            "prediction": "1.5" if (each * 0.618) % 1 < share else f"{each}.25",
            **changes,
        }
        for task in ("EPS", "mood")
        for each in range(120)
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Table:
    """The files of a baseline and of candidates."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.base = write(folder / "base.jsonl", 0.2)
        self.candidates = [write(folder / f"{name}.jsonl", share) for name, share in SHARES.items()]

    def run(self, *options: str) -> tuple[int, str, str]:
        """Exit code, what was printed, what was complained about."""
        named = [option for path in self.candidates for option in ("--candidate", str(path))]
        code = main(["--baseline", str(self.base), *named, *options])
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err

    def document(self) -> dict[str, Any]:
        code, printed, complaint = self.run("-o", "json")
        assert code == 0, complaint
        found: dict[str, Any] = json.loads(printed)
        return found


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Table:
    return Table(tmp_path, capsys)


def test_all_are_ranked_with_simultaneous_intervals_and_each_has_its_own_verdict(desk: Table) -> None:
    found = desk.document()
    assert [(each["rank"], each["name"]) for each in found["ranking"]] == [(1, "strong"), (2, "middling"), (3, "weak")]
    assert [each["candidate"]["name"] for each in found["candidates"]] == ["strong", "middling", "weak"]
    assert found["candidates"][0]["verdict"] == "Improved"
    for each, place in zip(found["candidates"], found["ranking"], strict=True):
        alone, among = each["overall"]["inference"], place["interval"]
        assert among["low"] <= alone["low"] < alone["high"] <= among["high"]
        assert among["high"] - among["low"] > alone["high"] - alone["low"], "three at once leave more doubt"


def test_each_is_compared_with_each_other_one(desk: Table) -> None:
    versus = {each["candidate"]["name"]: each["standing"]["versus"] for each in desk.document()["candidates"]}
    assert {name: {each["rival"] for each in rivals} for name, rivals in versus.items()} == {
        name: SHARES.keys() - {name} for name in SHARES
    }
    assert all(each["interval"]["low"] > 0 for each in versus["strong"])


def test_the_table_tells_the_order_the_pairs_and_then_each_candidate(desk: Table) -> None:
    code, printed, _ = desk.run()
    lines = printed.splitlines()
    assert code == 0
    assert [line.split()[:2] for line in lines[1:4]] == [["1", "strong"], ["2", "middling"], ["3", "weak"]]
    assert [line.split()[:2] for line in lines[5:8]] == [
        ["strong", "middling"],
        ["strong", "weak"],
        ["middling", "weak"],
    ]
    assert all(line.endswith("better") for line in lines[5:8])
    own = [line for line in lines if line.endswith("against base")]
    assert own == ["strong against base", "middling against base", "weak against base"]
    assert sum(line.startswith("verdict ") for line in lines) == 3


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_a_page_is_about_the_best_and_shows_the_others_beside_it(desk: Table, form: str) -> None:
    code, printed, _ = desk.run("-o", form)
    assert code == 0 and "strong answers these questions better than the baseline" in printed
    for name in ("middling", "weak"):
        assert name in printed and f"{name} answers" not in printed


def test_the_best_of_several_needs_stronger_evidence_than_one_alone(desk: Table) -> None:
    """Its own interval leaves 0 out all the same, but among eight that are no better one looks so by chance."""
    weak = desk.folder / "weak.jsonl"
    rows = [json.loads(line) for line in desk.base.read_text().splitlines()]
    wrong = {row["group"]: row for row in rows if row["score"] == 0 and row["task"] == "EPS"}
    right = {row["group"]: row for row in rows if row["score"] == 1 and row["task"] == "EPS"}
    lost = sorted(right)[:4]
    for group in lost:
        right[group]["score"] = 0
    for group in sorted(wrong.keys() - lost)[:14]:
        wrong[group]["score"] = 1
    weak.write_text("".join(json.dumps(row) + "\n" for row in rows))
    desk.candidates = [weak]
    alone = desk.document()
    assert alone["verdict"] == "Improved" and 0.05 / 8 < alone["overall"]["inference"]["p"] < 0.05
    twins = [desk.folder / f"twin-{number}.jsonl" for number in range(7)]
    for twin in twins:
        shutil.copy(desk.base, twin)
    desk.candidates = [weak, *twins]
    first = desk.document()["candidates"][0]
    assert first["overall"]["inference"] == alone["overall"]["inference"]
    assert (first["verdict"], first["reason"]) == ("Inconclusive", "NotSignificantAfterHolm")


def test_files_of_one_name_are_told_apart_by_their_folders(desk: Table) -> None:
    desk.candidates = [write(desk.folder / name / "tuned.jsonl", share) for name, share in SHARES.items()]
    names = [each["name"] for each in desk.document()["ranking"]]
    assert names == [str(desk.folder / name / "tuned.jsonl") for name in ("strong", "middling", "weak")]


def test_scores_alone_in_files_of_the_baselines_name_are_not_called_identical_answers(desk: Table) -> None:
    write(desk.base, 0.5, prediction=None)
    desk.candidates = [write(desk.folder / "other" / "base.jsonl", 0.5, prediction=None)]
    assert desk.document()["reason"] == "InsufficientData"


@pytest.mark.parametrize("form", FORMS)
def test_a_candidate_of_other_examples_is_refused_with_its_file_and_nothing_is_written(desk: Table, form: str) -> None:
    write(desk.candidates[1], 0.9, group="another")
    output = desk.folder / "out"
    code, printed, error = desk.run("-o", form, "--output", str(output))
    assert (code, printed) == (2, "") and not output.exists()
    assert "strong.jsonl, line 1: group: 'another'" in error


def test_one_file_twice_and_nine_candidates_are_refused(desk: Table) -> None:
    desk.candidates.append(desk.folder / "." / "weak.jsonl")
    code, _, error = desk.run()
    assert code == 2 and "given more than once" in error
    desk.candidates = [desk.folder / f"{number}.jsonl" for number in range(9)]
    code, _, error = desk.run()
    assert code == 2 and "given 9 times; at most 8" in error


def test_a_name_does_not_steer_the_terminal(desk: Table) -> None:
    desk.candidates.append(write(desk.folder / "t\x1b[2J.jsonl", 0.5))
    code, printed, _ = desk.run()
    assert code == 0 and "\x1b" not in printed
