"""`finetune compare`: a verdict from files of predictions, without a cluster and without a model."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.compare_command.command import main
from finetune_trainer.compare_command.errors import InputError
from finetune_trainer.compare_command.reading import read_rows
from finetune_trainer.suites.json_lines import MAX_LINE_BYTES

Row = dict[str, Any]
Change = Callable[[list[Row]], None]

COMPANIES = 40


def rows_of(share: float, tasks: tuple[str, ...] = ("EPS extraction", "sentiment"), number: int = 120) -> list[Row]:
    """That share of each task's answers is right, spread over the companies."""
    return [
        {
            "id": f"{task}-{each}",
            "task": task,
            "group": f"company {each % COMPANIES}",
            "score": int((each * 0.618) % 1 < share),
            "prediction": "1.5" if (each * 0.618) % 1 < share else f"{each}.25",
            "reference": "1.5",
        }
        for task in tasks
        for each in range(number)
    ]


class Desk:
    """Two files, and what the command makes of them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.write("base", rows_of(0.2))
        self.write("tuned", rows_of(0.9))

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def write(self, name: str, rows: list[Row]) -> None:
        self.path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(self, *options: str) -> tuple[int, str, str]:
        """Exit code, what was printed, what was complained about."""
        code = main(["--baseline", str(self.path("base")), "--candidate", str(self.path("tuned")), *options])
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err

    def document(self, *options: str) -> dict[str, Any]:
        code, printed, complaint = self.run("-o", "json", *options)
        assert code == 0, complaint
        found: dict[str, Any] = json.loads(printed)
        return found


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    return Desk(tmp_path, capsys)


def test_the_table_has_a_row_a_task_and_one_for_the_overall_score(desk: Desk) -> None:
    code, printed, _ = desk.run()
    header, *rows = printed.splitlines()[:4]
    assert code == 0
    assert header.split() == ["base", "fine-tuned", "delta", "95%", "interval", "p", "(Holm)", "n"]
    assert [row[:14].strip() for row in rows] == ["EPS extraction", "sentiment", "overall"]
    assert rows[0].split()[2:5] == ["0.2000", "0.9083", "+0.7083"] and rows[2].endswith("240")
    assert "verdict Improved (IntervalAboveZero): tuned answers these questions better than the baseline." in printed


@pytest.mark.parametrize(("share", "verdict"), [(0.9, "Improved"), (0.02, "Regressed"), (0.2, "NoDifference")])
def test_the_verdict_is_the_compare_steps(desk: Desk, share: float, verdict: str) -> None:
    desk.write("tuned", rows_of(share))
    assert desk.document()["verdict"] == verdict


def test_a_gain_that_one_task_pays_for_is_told_as_what_it_is(desk: Desk) -> None:
    """And not as something of which nothing can be told."""
    desk.write("base", [*rows_of(0.2, ("EPS extraction",)), *rows_of(0.6, ("sentiment",))])
    desk.write("tuned", [*rows_of(0.9, ("EPS extraction",)), *rows_of(0.3, ("sentiment",))])
    _, printed, _ = desk.run()
    sentence = "tuned is better than the baseline overall, but worse at sentiment."
    assert f"verdict Inconclusive (TaskRegressed): {sentence}" in printed


def test_it_loads_neither_torch_nor_a_tokenizer(desk: Desk) -> None:
    program = (
        "import sys; from finetune_trainer.__main__ import main; main(sys.argv[1:]); "
        "print(sorted({'torch', 'tokenizers', 'transformers'} & sys.modules.keys()))"
    )
    options = ["compare", "--baseline", str(desk.path("base")), "--candidate", str(desk.path("tuned")), "-o", "json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(
        [sys.executable, "-c", program, *options], env=environment, capture_output=True, text=True, timeout=60
    )
    assert finished.stdout.endswith("}\n[]\n"), finished.stderr


def test_scores_alone_are_enough_and_equal_ones_are_not_called_identical_answers(desk: Desk) -> None:
    for name in ("base", "tuned"):
        desk.write(name, [{key: row[key] for key in ("id", "task", "group", "score")} for row in rows_of(0.5)])
    found = desk.document()
    assert (found["verdict"], found["reason"]) == ("Inconclusive", "InsufficientData")


@pytest.mark.parametrize(
    ("base", "tuned", "reason"),
    [
        (rows_of(1.0, number=1), rows_of(0.0, number=1), "InsufficientData"),
        (rows_of(0.0), rows_of(0.0), "Identical"),
        (rows_of(0.0), [row | {"prediction": "no"} for row in rows_of(0.0)], "InsufficientData"),
        (rows_of(0.0), rows_of(1.0), "IntervalAboveZero"),
    ],
    ids=["one example", "byte-identical", "all ties in other words", "constant tasks"],
)
@pytest.mark.parametrize("form", ["table", "json", "html", "markdown"])
def test_little_or_dull_data_is_a_result_in_every_form(
    desk: Desk, base: list[Row], tuned: list[Row], reason: str, form: str
) -> None:
    desk.write("base", base)
    desk.write("tuned", tuned)
    assert desk.document()["reason"] == reason
    code, printed, complaint = desk.run("-o", form)
    assert (code, complaint) == (0, "") and printed


def test_graded_scores_and_patterns_count(desk: Desk) -> None:
    for name, share in (("base", 0.4), ("tuned", 0.6)):
        desk.write(name, [row | {"score": share, "pattern": "one and the same"} for row in rows_of(0.5)])
    found = desk.document()
    assert found["overall"]["difference"] == pytest.approx(0.2)
    assert found["reason"] == "InsufficientData", "all examples share one pattern: that is one group"


def suite_at(folder: Path, **changes: Any) -> str:
    tasks = [
        {"name": "eps", "title": "EPS extraction", "weight": 3, "scorer": {"kind": "number"}, "examples": "eps.jsonl"},
        {"name": "sentiment", "title": "Mood", "scorer": {"kind": "number"}, "examples": "mood.jsonl"},
    ]
    suite = {"name": "ours", "version": "2", "title": "Ours", "margin": 0.1, "tasks": tasks} | changes
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    return str(folder / "suite.yaml")


def test_a_suite_gives_weights_and_margin(desk: Desk) -> None:
    rows = rows_of(0.2)
    desk.write("tuned", [row | {"score": 1} if row["task"] == "EPS extraction" else row for row in rows])
    plain, weighted = desk.document(), desk.document("--suite", suite_at(desk.folder))
    assert plain["overall"]["tuned"] == pytest.approx((1 + 0.2) / 2)
    assert weighted["overall"]["tuned"] == pytest.approx((3 + 0.2) / 4)
    assert [task["title"] for task in weighted["tasks"]] == ["EPS extraction", "Mood"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"margin": 2}, "margin"),
        ({"tasks": []}, "tasks"),
        ({"tasks": [{"name": "eps", "title": "e", "scorer": {"kind": "number"}, "examples": "e"}]}, "EPS extraction"),
    ],
)
def test_a_suite_that_does_not_fit_is_refused(desk: Desk, changes: dict[str, Any], complaint: str) -> None:
    code, _, error = desk.run("--suite", suite_at(desk.folder, **changes))
    assert code == 2 and complaint in error


def test_a_version_that_reads_as_a_date_of_no_calendar_is_refused(desk: Desk) -> None:
    path = desk.folder / "suite.yaml"
    path.write_text("version: 2026-02-30\n")
    code, printed, error = desk.run("--suite", str(path))
    assert (code, printed) == (2, "") and f"{path}: not valid YAML: day is out of range" in error


@pytest.mark.parametrize("field", ["tasks", "name", "unknown"])
def test_a_suite_of_names_that_stand_for_ever_more_is_refused_at_once(desk: Desk, field: str) -> None:
    """Written out it would hold 10^12 words."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{depth}: &a{depth} [{', '.join([f'*a{depth - 1}'] * 10)}]" for depth in range(1, 12)]
    path = desk.folder / "suite.yaml"
    path.write_text("\n".join([*lines, f"{field}: *a11"]) + "\n")
    code, printed, error = desk.run("--suite", str(path))
    assert (code, printed) == (2, "") and "suite.yaml" in error and len(error) < 1000


def test_predictions_must_be_of_the_suites_examples_where_those_are_there(desk: Desk) -> None:
    for task, file in (("eps", "eps.jsonl"), ("sentiment", "mood.jsonl")):
        example = {"id": f"{task}-other", "task": task, "group": "c", "prompt": "What?", "reference": "1.5"}
        (desk.folder / file).write_text(json.dumps(example) + "\n")
    code, _, error = desk.run("--suite", suite_at(desk.folder))
    assert code == 2 and "the suite has no example 'EPS extraction-0'" in error


def _drop(rows: list[Row]) -> None:
    del rows[3]


def _double(rows: list[Row]) -> None:
    rows.append(rows[3])


def _double_in_another_task(rows: list[Row]) -> None:
    rows.append(rows[3] | {"task": "sentiment"})


def _extra(rows: list[Row]) -> None:
    rows.append(rows[3] | {"id": "new"})


def _set(**fields: Any) -> Change:
    def change(rows: list[Row]) -> None:
        rows[3].update(fields)

    return change


def _unset(rows: list[Row]) -> None:
    del rows[3]["group"]


@pytest.mark.parametrize(
    ("change", "complaints"),
    [
        (_drop, ("tuned.jsonl: 1 ids of", "'EPS extraction-3'", "base.jsonl, line 4")),
        (_extra, ("base.jsonl: 1 ids of", "'new'", "tuned.jsonl, line 241")),
        (_double, ("tuned.jsonl, line 241", "used in line 4 too")),
        (_double_in_another_task, ("tuned.jsonl, line 241", "task 'EPS extraction' instead of 'sentiment'")),
        (_set(task="sentiment"), ("tuned.jsonl, line 4", "task: 'sentiment'", "base.jsonl, line 4")),
        (_set(group="other"), ("tuned.jsonl, line 4", "group: 'other'")),
        (_set(reference="7"), ("tuned.jsonl, line 4", "reference: '7'")),
        (_set(score=float("nan")), ("tuned.jsonl, line 4", "NaN")),
        (_set(score=float("inf")), ("tuned.jsonl, line 4", "Infinity")),
        (_set(score="1"), ("tuned.jsonl, line 4", "score", "not a number")),
        (_set(score=True), ("tuned.jsonl, line 4", "score", "not a number")),
        (_set(score=37), ("tuned.jsonl, line 4", "score", "less than or equal to 1", "no percentage")),
        (_set(score=None), ("tuned.jsonl, line 4", "score: missing")),
        (_set(score=1, parsed=False), ("tuned.jsonl, line 4", "scores 0")),
        (_set(id=3), ("tuned.jsonl, line 4", "id", "put it in quotation marks")),
        (_unset, ("tuned.jsonl, line 4", "group: missing", "repeat the id")),
    ],
)
def test_what_is_wrong_with_a_line_is_said_with_its_place(
    desk: Desk, change: Change, complaints: tuple[str, ...]
) -> None:
    rows = rows_of(0.9)
    change(rows)
    desk.write("tuned", rows)
    output = desk.folder / "report.html"
    code, printed, error = desk.run("-o", "html", "--output", str(output))
    assert (code, printed) == (2, "") and not output.exists()
    assert len(error.splitlines()) == 1
    for complaint in complaints:
        assert complaint in error


def _zip(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", content)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no predictions"),
        (b"\n \n", "holds no predictions"),
        (b"id,task\n1,2\n", "line 1: not JSON"),
        (b"[1]\n", "line 1: not a JSON object"),
        (b"[" * 100_000, "line 1: not JSON"),
        (b'{"id": "a", "id": "b"}', "line 1: not JSON: a key is there twice"),
        (b'{"score": 1e999}', "line 1: id"),
        (b'{"score": ' + b"9" * 10_000 + b"}", "line 1: not JSON"),
        (b"\xff\xfe\x00", "line 1: not UTF-8"),
        (gzip.compress(b"{}" * 10_000, mtime=0), "line 1: a gzip file; unpack it"),
        (_zip(b"{}" * 10_000), "line 1: a zip file; unpack it"),
    ],
)
def test_a_file_that_holds_no_predictions_is_refused(desk: Desk, content: bytes, complaint: str) -> None:
    desk.path("base").write_bytes(content)
    code, _, error = desk.run()
    assert code == 2 and f"{desk.path('base')}" in error and complaint in error


def test_a_score_beyond_all_numbers_is_refused(desk: Desk) -> None:
    line = '{"id": "a", "task": "t", "group": "g", "score": 1e999}\n'
    desk.path("base").write_text(line)
    code, _, error = desk.run()
    assert code == 2 and "base.jsonl, line 1: score" in error


def test_a_line_of_a_hundred_megabytes_is_not_read_into_the_memory(desk: Desk) -> None:
    with desk.path("base").open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.truncate(file.tell() + 100 * MAX_LINE_BYTES)  # a hole, read as zeros
    code, _, error = desk.run()
    assert code == 2 and "base.jsonl, line 241: longer than 1 MiB" in error


@pytest.mark.parametrize("place", ["absent/report.html", "folder", "report.html/below"])
def test_an_output_that_cannot_be_written_is_a_clear_error(desk: Desk, place: str) -> None:
    (desk.folder / "folder").mkdir()
    (desk.folder / "report.html").write_text("what was there")
    before = sorted(os.listdir(desk.folder))
    code, _, error = desk.run("--output", str(desk.folder / place))
    assert code == 2 and "--output" in error and "cannot be written" in error
    assert sorted(os.listdir(desk.folder)) == before


def test_a_missing_file_is_a_clear_error(desk: Desk) -> None:
    assert main(["--baseline", "absent.jsonl", "--candidate", str(desk.path("tuned"))]) == 2
    assert "absent.jsonl: cannot be read: No such file" in desk.capsys.readouterr().err


def test_the_output_replaces_what_was_there_and_leaves_nothing_beside(desk: Desk) -> None:
    output = desk.folder / "report.md"
    output.write_text("what was there")
    before = sorted(os.listdir(desk.folder))
    assert desk.run("-o", "markdown", "--output", str(output))[:2] == (0, "")
    assert "| overall |" in output.read_text() and sorted(os.listdir(desk.folder)) == before


def test_a_title_does_not_steer_the_terminal(desk: Desk) -> None:
    for name, share in (("base", 0.2), ("tuned", 0.9)):
        desk.write(name, rows_of(share, tasks=("EPS\x1b[2J",)))
    assert "\x1b" not in desk.run()[1]


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_bytes_make_it_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "any.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"any\.jsonl"):
        read_rows(path)


def test_the_documented_example_comes_out_as_it_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(__file__).resolve().parents[3]
    documented = (root / "docs" / "verdicts.md").read_text(encoding="utf-8")
    given = [str(root / "examples" / "compare" / name) for name in ("base.jsonl", "tuned.jsonl")]
    arguments = ["--baseline", given[0], "--candidate", given[1]]
    assert main(arguments) == 0
    assert capsys.readouterr().out in documented
    assert main([*arguments, "-o", "markdown"]) == 0
    causes = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| Refusal", "| Unknown"))]
    assert len(causes) == 2 and all(line in documented for line in causes)


def test_the_overall_score_of_one_task_reads_as_the_tasks(desk: Desk) -> None:
    """0.66875 is rounded down or up by its last bit, which depends on the order of the sum."""
    for name, right in (("base", 59), ("tuned", 107)):
        rows = rows_of(0.0, ("EPS",), 160)
        desk.write(name, [row | {"score": int(place < right)} for place, row in enumerate(rows)])
    _, printed, _ = desk.run()
    one, overall = (line.split()[1:3] for line in printed.splitlines()[1:3])
    assert one == overall
