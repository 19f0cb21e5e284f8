"""`finetune suite`: published formats become suites, suites are checked, lm-eval's samples go in and out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_trainer.__main__ import main
from finetune_trainer.scoring.predictions import read_predictions, scored_prediction
from finetune_trainer.suite_command.clusters import clusters
from finetune_trainer.suites.load import builtin_suite_folder, load_suite
from finetune_trainer.suites.model import Example

PUBLISHED = Path(__file__).parent / "published"
SAMPLES = PUBLISHED / "samples_eps_2026-03-01T10-00-00.000000.jsonl"


def convert(tmp_path: Path, kind: str, *names: str) -> dict[str, tuple[Example, ...]]:
    files = [str(PUBLISHED / name) for name in names]
    assert main(["suite", "convert", "--from", kind, *files, "--output", str(tmp_path / "suite")]) == 0
    return dict(load_suite(tmp_path / "suite").examples)


def test_sentences_are_joined_over_others() -> None:
    first, second, third = "a b c d e f g", "c d e f g 1 h", "d e f g 99 h i"
    assert clusters([first, "x y", second, third]) == [0, 1, 2, 2]
    assert clusters([first, "b c d e f g h", "c d e f g h i"]) == [0, 0, 0]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--from", "fiqa", str(PUBLISHED / "fiqa.csv"), "--output", str(tmp_path)]
    assert main(["suite", "convert", *arguments]) == 2
    assert "is there already" in capsys.readouterr().err


def test_check_says_what_a_suite_holds_or_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suite", "check", str(builtin_suite_folder("finance"))]) == 0
    assert (
        "eps-extraction (number): 800 examples, 80 groups (80.0 effective), 700 in holdout" in capsys.readouterr().out
    )
    assert main(["suite", "check", str(tmp_path)]) == 2
    assert "suite.yaml: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "--from", "finqa", "gone.json", "--output", "out"],
        ["import-lm-eval", "gone.json", "--task", "eps", "--output", "out"],
        ["export-lm-eval", "gone.json", "--suite", str(builtin_suite_folder("finance")), "--output", "out"],
    ],
)
def test_a_file_that_is_not_there_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["suite", *arguments]) == 2
    error = capsys.readouterr().err
    assert error == "finetune suite: gone.json: cannot be read or written: No such file or directory\n"
    assert list(tmp_path.iterdir()) == []


def test_check_says_where_no_verdict_can_be_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "fiqa"
    assert main(["suite", "convert", "--from", "fiqa", str(PUBLISHED / "fiqa.csv"), "--output", str(suite)]) == 0
    assert main(["suite", "check", str(builtin_suite_folder("finance"))]) == 0
    small, _, large = capsys.readouterr().out.partition("suite finance")
    assert "too few for a verdict" in small and "20 are needed" in small
    assert "too few" not in large


def test_the_command_works_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from finetune_trainer.__main__ import main\n"
        f"sys.exit(main(['suite', 'check', {str(builtin_suite_folder('finance'))!r}]))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_lm_evals_samples_become_predictions(tmp_path: Path) -> None:
    output = tmp_path / "base.jsonl"
    assert main(["suite", "import-lm-eval", str(SAMPLES), "--group", "company", "--output", str(output)]) == 0
    assert [(each.id, each.task, each.group, each.score, each.prediction) for each in read_predictions(output)] == [
        ("eps-0", "eps", "Norvale", 1.0, "1.20"),
        ("eps-1", "eps", "Tessel", 0.0, "0.45"),
        ("eps-2", "eps", "Norvale", 1.0, "1.18"),
    ]


def test_what_is_exported_comes_back_the_same(tmp_path: Path) -> None:
    convert(tmp_path, "finqa", "test.json")
    loaded = load_suite(tmp_path / "suite")
    task = loaded.suite.task("finqa-number")
    answers = [scored_prediction(task, each, f"Answer: {each.reference}") for each in loaded.examples[task.name]]
    (tmp_path / "answers.jsonl").write_text("".join(each.to_line() + "\n" for each in answers))
    out = ["--suite", str(tmp_path / "suite"), "--output", str(tmp_path / "samples")]
    assert main(["suite", "export-lm-eval", str(tmp_path / "answers.jsonl"), *out]) == 0
    (written,) = (tmp_path / "samples").iterdir()
    sample = json.loads(written.read_text().splitlines()[0])
    assert {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "metrics"} <= sample.keys()
    back = ["--task", task.name, "--output", str(tmp_path / "back.jsonl")]
    assert main(["suite", "import-lm-eval", str(written), *back]) == 0
    kept = [(each.id, each.group, each.score, each.prediction) for each in read_predictions(tmp_path / "back.jsonl")]
    assert kept == [(each.id, each.group, each.score, each.prediction) for each in answers]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exact_match": float("nan")}, "line 1: no score between 0 and 1"),
        ({"doc_id": 1}, "line 2: doc_id: eps-1 is there twice"),
        ({"filtered_resps": [], "resps": []}, "line 1: filtered_resps: missing"),
    ],
)
def test_a_sample_that_cannot_be_read_is_answered_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], message: str
) -> None:
    rows = [json.loads(line) for line in SAMPLES.read_text().splitlines()]
    path, output = tmp_path / "samples.jsonl", tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(row | (change if row["doc_id"] == 0 else {})) + "\n" for row in rows))
    assert main(["suite", "import-lm-eval", str(path), "--task", "eps", "--output", str(output)]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()
