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


def test_fiqa_is_one_example_for_each_sentence_and_company(tmp_path: Path) -> None:
    found = convert(tmp_path, "fiqa", "task1_headline_ABSA_train.json", "fiqa.csv")["fiqa"]
    assert [(each.group, each.reference) for each in found] == [
        ("norvale", "positive"),
        ("harrow bank", "negative"),
        ("tessel", "positive"),
        ("norvale", "neutral"),
        ("kestrel", "negative"),
        ("orla", "neutral"),
    ]


def test_phrasebank_sentences_of_one_wording_are_one_group(tmp_path: Path) -> None:
    found = convert(tmp_path, "phrasebank", "Sentences_AllAgree.txt")["phrasebank"]
    assert [each.reference for each in found] == ["positive", "positive", "neutral", "negative"]
    assert len({each.group for each in found}) == 3
    assert found[0].group == found[1].group
    assert found[0].messages is not None and "Brännö" in found[0].messages[0].content


def test_finqa_is_grouped_by_company_and_told_in_percent_where_the_answer_is(tmp_path: Path) -> None:
    found = convert(tmp_path, "finqa", "test.json")
    assert [(each.group, each.reference) for each in found["finqa-number"]] == [
        ("NRV", "25.00%"),
        ("NRV", "250.0"),
        ("TSL", "1.25"),
    ]
    (yes,) = found["finqa-yes-no"]
    assert yes.reference == "yes"
    assert yes.messages is not None and "net revenue | $ 1250.0 | $ 1000.0" in yes.messages[0].content


def test_sentences_are_joined_over_others() -> None:
    first, second, third = "a b c d e f g", "c d e f g 1 h", "d e f g 99 h i"
    assert clusters([first, "x y", second, third]) == [0, 1, 2, 2]
    assert clusters([first, "b c d e f g h", "c d e f g h i"]) == [0, 0, 0]


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        ("fiqa", "a.csv", "sentence,target\n", "a.csv: no column sentiment_score"),
        ("fiqa", "a.csv", "sentence,target,sentiment_score\nx,y,nan\n", "a.csv, line 2: sentiment_score: 'nan'"),
        ("fiqa", "a.json", "[]", "a.json: expected an object"),
        ("fiqa", "a.json", '{"1": {"info": [{}]}}', "a.json, entry 1: target: missing"),
        ("fiqa", "a.json", "{", "a.json: not valid JSON"),
        ("phrasebank", "a.txt", "fine@good\n", "a.txt, line 1: expected sentence@label"),
        ("finqa", "a.json", "{}", "a.json: expected a list"),
        ("finqa", "a.json", '[{"filename": "A/1"}]', "a.json, entry 1: qa: missing"),
        ("finqa", "a.json", "[]", "FinQA: the files hold no example"),
    ],
)
def test_a_file_of_another_form_is_refused_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    output = tmp_path / "out" / "suite"
    assert main(["suite", "convert", "--from", kind, str(tmp_path / name), "--output", str(output)]) == 2
    assert message in capsys.readouterr().err
    assert not output.parent.exists() or list(output.parent.iterdir()) == []


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
