"""`finetune dataset`: what is generated, and what is told of two datasets that differ."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from finetune_trainer.dataset_command.command import main
from finetune_trainer.dataset_command.names import companies
from finetune_trainer.dataset_command.parts import Part, rows_of, window
from finetune_trainer.dataset_command.rows import Recipe, Row, rows
from finetune_trainer.dataset_command.subjects import SUBJECTS, Difficulty, Task
from finetune_trainer.digests import file_digest
from finetune_trainer.suites.generate import SUBJECTS as SUITE_SUBJECTS
from finetune_trainer.suites.writing.companies import SUITE_COMPANIES

CUTOFF = date(2023, 12, 31)
SEED_SEVEN = "sha256:1099d36d1b40a7d1a5c4297b18c1aa3c7f442659790ab95cdd954ecfc725d344"


def recipe(difficulty: Difficulty = Difficulty.MIXED, tasks: tuple[Task, ...] = tuple(Task), seed: int = 7) -> Recipe:
    return Recipe(seed, difficulty, tasks, CUTOFF)


def generate(output: Path, *options: str) -> int:
    return main(["generate", "--rows", "300", "--seed", "7", *options, "--output", str(output)])


# Generated


def test_ten_thousand_rows_of_seed_seven_are_the_same_on_every_machine(tmp_path: Path) -> None:
    assert main(["generate", "--rows", "10000", "--seed", "7", "--output", str(tmp_path / "data")]) == 0
    assert [sum(1 for _ in (tmp_path / "data" / f"{part}.jsonl").open()) for part in Part] == [8000, 1000, 1000]
    assert file_digest(tmp_path / "data" / "train.jsonl") == SEED_SEVEN


def test_another_seed_gives_other_rows() -> None:
    assert set(rows(recipe(seed=7), Part.TRAIN, 200)).isdisjoint(rows(recipe(seed=8), Part.TRAIN, 200))


def test_no_two_rows_ask_the_same() -> None:
    made = [row for part, count in rows_of(3000).items() for row in rows(recipe(Difficulty.EASY), part, count)]
    assert len({row.input for row in made}) == 3000


@pytest.mark.parametrize("difficulty", Difficulty)
def test_no_text_to_learn_from_speaks_of_a_year_after_the_cut_off(difficulty: Difficulty) -> None:
    for row in rows(recipe(difficulty), Part.TRAIN, 600):
        assert all(
            int(year) <= CUTOFF.year for year in re.findall(r"(?<![$,\d.(])(?:19|20)\d\d(?![\d,.]\d)", row.input)
        )


def test_the_parts_share_no_day() -> None:
    windows = [window(part, CUTOFF) for part in Part]
    assert windows[0].last == CUTOFF
    assert windows[0].last < windows[1].first <= windows[1].last < windows[2].first


def test_the_parts_share_no_company_whatever_the_seeds() -> None:
    known = {part: {name for seed in range(3) for name in companies(part, 500, seed)} for part in Part}
    assert known[Part.TRAIN].isdisjoint(known[Part.VALIDATION] | known[Part.TEST])
    assert known[Part.VALIDATION].isdisjoint(known[Part.TEST])


def test_no_company_and_no_sentence_is_a_suites() -> None:
    names = {name for part in Part for name in companies(part, 10**6, 0)}
    assert len(names) > 20_000
    assert names.isdisjoint(SUITE_COMPANIES)
    assert {name.split()[0] for name in names}.isdisjoint(name.split()[0] for name in SUITE_COMPANIES)
    asked = {sentence for subject in SUITE_SUBJECTS for pattern in subject.patterns for sentence in sentences(pattern)}
    for subject in SUBJECTS.values():
        for patterns in subject.patterns.values():
            assert asked.isdisjoint(sentence for pattern in patterns for sentence in sentences(pattern))


def sentences(pattern: str | tuple[str, ...]) -> tuple[str, ...]:
    return (pattern,) if isinstance(pattern, str) else tuple(pattern)


def test_all_tasks_come_in_turn_and_only_those_asked_for() -> None:
    made = list(rows(recipe(tasks=(Task.REVENUE, Task.EPS)), Part.TEST, 20))
    asked = [SUBJECTS[Task.REVENUE].instruction, SUBJECTS[Task.EPS].instruction] * 10
    assert [row.instruction for row in made] == asked


def test_labels_are_balanced() -> None:
    labels = [row.output for row in rows(recipe(tasks=(Task.SENTIMENT,)), Part.TRAIN, 3000)]
    assert all(900 < labels.count(label) < 1100 for label in ("positive", "negative", "neutral"))


def test_difficulty_brings_losses_units_and_computed_figures() -> None:
    def made(difficulty: Difficulty) -> list[Row]:
        return list(rows(recipe(difficulty, (Task.EPS,)), Part.TRAIN, 400))

    easy, medium, hard = made(Difficulty.EASY), made(Difficulty.MEDIUM), made(Difficulty.HARD)
    assert not any("-" in row.output for row in easy)
    assert sum("-" in row.output for row in medium) > 60
    assert sum("-" in row.output for row in hard) > 100
    assert all(figure(row) in row.input for row in easy)
    assert sum(figure(row) not in row.input for row in medium) > 40
    assert sum(figure(row) not in row.input for row in hard) > 80
    assert not any("thousand" in row.input for row in medium)
    assert sum("thousand" in row.input for row in hard) > 40


def figure(row: Row) -> str:
    return row.output.removeprefix("EPS: ").removeprefix("-")


def test_a_computed_figure_is_the_quotient_to_the_cent() -> None:
    computed = re.compile(r"In thousands: net income ([\d,.]+), diluted shares ([\d,]+)\.")
    found = 0
    for row in rows(recipe(Difficulty.HARD, (Task.EPS,)), Part.TRAIN, 600):
        for income, shares in computed.findall(row.input):
            found += 1
            assert f"{number(income) / number(shares):.2f}" == figure(row)
    assert found > 10


def test_growth_follows_from_both_revenues_in_whatever_unit() -> None:
    told = re.compile(r"booked \$([\d,.]+) billion after \$([\d,.]+) million")
    found = 0
    for row in rows(recipe(Difficulty.HARD, (Task.REVENUE,)), Part.TRAIN, 600):
        for now, before in told.findall(row.input):
            found += 1
            growth = (1000 * number(now) / number(before) - 1) * 100
            direction, percent = row.output.rstrip("%").split()
            assert direction == ("up" if growth > 0 else "down")
            assert abs(abs(growth) - Decimal(percent)) <= Decimal("0.05")
    assert found > 10


def number(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


# Written


def test_a_file_holds_training_rows_alone(tmp_path: Path) -> None:
    assert generate(tmp_path / "train.jsonl") == 0
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    assert len(lines) == 300
    assert all(list(json.loads(line)) == ["instruction", "input", "output"] for line in lines)
    assert os.listdir(tmp_path) == ["train.jsonl"]


def test_a_folder_is_not_made_where_a_file_of_another_kind_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(tmp_path / "train.json") == 2
    assert "a file of rows is called *.jsonl" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_what_is_there_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.jsonl").write_text("mine")
    assert generate(tmp_path / "train.jsonl") == 2
    assert "is there already: name another place, or remove it" in capsys.readouterr().err
    assert (tmp_path / "train.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rows", "3"], "--rows: 3 is not a number from 10 to 1000000"),
        (["--rows", "10000000"], "--rows: 10000000 is not"),
        (["--tasks", "eps,weather"], "--tasks: 'weather' is none of eps, sentiment, revenue"),
        (["--difficulty", "brutal"], "--difficulty: 'brutal' is none of easy, medium, hard, mixed"),
        (["--cutoff", "yesterday"], "--cutoff: 'yesterday' is not a date such as 2023-12-31"),
        (["--cutoff", "0001-01-01"], "--cutoff: 0001-01-01 is not in the years 1950 to 2200"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(tmp_path / "data", *options) == 2
    assert capsys.readouterr().err.startswith(f"finetune dataset generate: {said}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_what_is_stopped_leaves_nothing_half_written(told: signal.Signals, tmp_path: Path) -> None:
    arguments = ["dataset", "generate", "--rows", "1000000", "--output", str(tmp_path / "data")]
    command = [sys.executable, "-m", "finetune_trainer", *arguments]
    # A shell that starts this in the background has it ignore the interrupt, which a child would inherit.
    heard = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heard) as process:
        assert process.stderr is not None
        assert process.stderr.readline().endswith("of 1000000 rows\n")
        process.send_signal(told)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 4
    assert said.endswith("finetune dataset generate: stopped; nothing was written\n")
    assert os.listdir(tmp_path) == []


def test_torch_is_not_needed(tmp_path: Path) -> None:
    program = (
        "import sys; from finetune_trainer.dataset_command.command import main;"
        f"main(['generate', '--rows', '10', '--output', {str(tmp_path / 'data')!r}]);"
        f"main(['diff', {str(tmp_path / 'data')!r}, {str(tmp_path / 'data')!r}]);"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, stdout=subprocess.DEVNULL).returncode == 0


# Compared


def written(path: Path, *pairs: tuple[str, str], indent: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'{{{indent}"prompt":{indent}"{prompt}","completion": "{answer}"}}\n' for prompt, answer in pairs]
    path.write_text("".join(lines))
    return path


def diff(before: Path, after: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    code = main(["diff", str(before), str(after), "-o", "json"])
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return code, document


A, B, C, D = ("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")


def test_whitespace_makes_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = written(tmp_path / "a.jsonl", A, B), written(tmp_path / "b.jsonl", A, B, indent="   ")
    code, told = diff(before, after, capsys)
    assert (code, told["same"]) == (0, True)
    assert told["before"]["digest"] == told["after"]["digest"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("after", "counts"),
    [
        ([A, B, C, D], {"same": 3, "added": 1}),
        ([A, C], {"same": 2, "removed": 1}),
        ([A, ("b", "5"), C], {"same": 2, "changed": 1}),
        ([C, A, B], {"same": 3, "reordered": 1}),
        ([A, A, B, C], {"same": 3, "added": 1}),
        ([B, ("a", "7"), D], {"same": 1, "added": 1, "removed": 1, "changed": 1}),
    ],
)
def test_what_changed_is_told_by_content(
    after: list[tuple[str, str]], counts: dict[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = diff(written(tmp_path / "a.jsonl", A, B, C), written(tmp_path / "b.jsonl", *after), capsys)
    nothing = dict.fromkeys(("same", "added", "removed", "changed", "moved", "reordered"), 0)
    assert (code, told["counts"]) == (1, nothing | counts)
    assert told["before"]["digest"] != told["after"]["digest"]  # type: ignore[index]


def test_an_example_that_went_to_another_part_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, train, validation in (("old", (A, B), (C,)), ("new", (A,), (B, C))):
        written(tmp_path / name / "train.jsonl", *train)
        written(tmp_path / name / "validation.jsonl", *validation)
    code, told = diff(tmp_path / "old", tmp_path / "new", capsys)
    assert code == 1
    assert told["moved"] == [{"line": 2, "prompt": "b", "answer": "2", "from": "train", "to": "validation"}]


def test_the_table_shows_the_first_of_each_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = written(tmp_path / "a.jsonl", A, B, C)
    assert main(["diff", str(before), str(written(tmp_path / "b.jsonl", ("a", "9"), B, D))]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == ["+ d -> 4", "- c -> 3", "~ a -> 1 | 9"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"prompt": "a"}\n', "line 1: 'completion' is missing"),
        ("PAR1", "is in Parquet format"),
        (None, "No such file"),
    ],
)
def test_what_cannot_be_read_is_named(
    content: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "b.jsonl").write_text(content)
    assert main(["diff", str(written(tmp_path / "a.jsonl", A)), str(tmp_path / "b.jsonl")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert str(tmp_path / "b.jsonl") in told.err
    assert said in told.err


def test_a_folder_without_parts_is_no_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(tmp_path), str(tmp_path)]) == 2
    assert "is a folder without train.jsonl" in capsys.readouterr().err
