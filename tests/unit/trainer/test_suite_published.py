"""FiQA, Financial PhraseBank and FinQA become suites, in each of the files that people have them in."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from finetune_trainer.__main__ import main
from finetune_trainer.suite_command.published import files
from finetune_trainer.suites.load import load_suite
from finetune_trainer.suites.model import Example

PUBLISHED = Path(__file__).parent / "published"
ALL_AGREE = PUBLISHED / "Sentences_AllAgree.txt"


def convert(tmp_path: Path, kind: str, *paths: Path) -> dict[str, tuple[Example, ...]]:
    arguments = ["suite", "convert", "--from", kind, *map(str, paths), "--output", str(tmp_path / "suite")]
    assert main(arguments) == 0
    return dict(load_suite(tmp_path / "suite").examples)


def question(example: Example) -> str:
    assert example.messages is not None
    return example.messages[0].content


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    path.write_text("".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in cells))
    return path


def test_fiqa_is_one_question_for_each_sentence_and_company(tmp_path: Path) -> None:
    found = convert(tmp_path, "fiqa", PUBLISHED / "task1_headline_ABSA_train.json", PUBLISHED / "fiqa.csv")["fiqa"]
    assert [(each.group, each.reference) for each in found] == [
        ("norvale", "positive"),
        ("harrow bank", "negative"),
        ("tessel", "positive"),
        ("norvale", "neutral"),
        ("kestrel", "negative"),
        ("orla", "neutral"),
    ]
    of_one_sentence = [each for each in found if "Harrow Bank slides while" in question(each)]
    assert ["about Harrow Bank?" in question(each) for each in of_one_sentence] == [True, False]
    assert ["about Tessel?" in question(each) for each in of_one_sentence] == [False, True]


FIQA_ROWS = [
    {
        "_id": "1",
        "sentence": "Orla lifts its outlook",
        "target": "Orla",
        "aspect": "x",
        "score": 0.4,
        "type": "headline",
    },
    {"_id": "2", "sentence": "Sell $KES, now", "target": "KES", "aspect": "x", "score": -0.7, "type": "post"},
]


@pytest.mark.parametrize(
    ("write", "name"),
    [(write_parquet, "a.parquet"), (write_lines, "a.jsonl"), (write_lines, "a.json"), (write_csv, "a.csv")],
)
def test_fiqa_as_the_hub_has_it(tmp_path: Path, write: Any, name: str) -> None:
    found = convert(tmp_path, "fiqa", write(tmp_path / name, FIQA_ROWS))["fiqa"]
    assert [(each.group, each.reference) for each in found] == [("orla", "positive"), ("kes", "negative")]


def test_phrasebank_sentences_of_one_wording_are_one_group(tmp_path: Path) -> None:
    found = convert(tmp_path, "phrasebank", ALL_AGREE)["phrasebank"]
    assert [each.reference for each in found] == ["positive", "positive", "neutral", "negative"]
    assert len({each.group for each in found}) == 3
    assert found[0].group == found[1].group
    assert "Brännö" in question(found[0])


def test_phrasebank_saved_as_utf_8_reads_the_same(tmp_path: Path) -> None:
    again = tmp_path / "a.txt"
    again.write_text(ALL_AGREE.read_text(encoding="latin-1").replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert "Brännö" in question(convert(tmp_path, "phrasebank", again)["phrasebank"][0])


def test_of_phrasebanks_archive_the_sentences_are_taken_on_which_all_agree(tmp_path: Path) -> None:
    archive = tmp_path / "FinancialPhraseBank-v1.0.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("__MACOSX/FinancialPhraseBank-v1.0/Sentences_AllAgree.txt", b"\x00")
        written.writestr("FinancialPhraseBank-v1.0/Sentences_50Agree.txt", b"Others say otherwise .@neutral\r\n")
        written.write(ALL_AGREE, "FinancialPhraseBank-v1.0/Sentences_AllAgree.txt")
    assert len(convert(tmp_path, "phrasebank", archive)["phrasebank"]) == 4


PHRASEBANK_ROWS = [
    {"sentence": "Sales of Orla fell , it said .", "label": 0},
    {"sentence": "The board meets in May .", "label": 1},
    {"sentence": "Profit rose sharply .", "label": 2},
]


@pytest.mark.parametrize(
    ("write", "name"),
    [(write_parquet, "a.parquet"), (write_lines, "a.jsonl"), (write_lines, "a.json"), (write_csv, "a.csv")],
)
def test_phrasebank_as_the_hub_has_it(tmp_path: Path, write: Any, name: str) -> None:
    found = convert(tmp_path, "phrasebank", write(tmp_path / name, PHRASEBANK_ROWS))["phrasebank"]
    assert [each.reference for each in found] == ["negative", "neutral", "positive"]


def test_phrasebank_as_a_table_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "all-data.csv"
    path.write_bytes('neutral,"In Brännö , nothing changed ."\nnegative,Sales fell .\n'.encode("latin-1"))
    found = convert(tmp_path, "phrasebank", path)["phrasebank"]
    assert [each.reference for each in found] == ["neutral", "negative"]
    assert question(found[0]).endswith("In Brännö , nothing changed .")


def test_what_is_labelled_in_two_ways_is_left_out_and_told_and_what_is_twice_is_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("It rose .@positive\nSales fell .@negative\nIt rose .@neutral\nSales fell .@negative\n")
    (only,) = convert(tmp_path, "phrasebank", path)["phrasebank"]
    assert only.reference == "negative"
    told = capsys.readouterr().out
    assert "left out, as they contradict themselves: 1" in told
    assert "positive in a.txt, line 1 and neutral in a.txt, line 3" in told


def test_finqa_is_grouped_by_company_and_told_in_percent_where_the_answer_is(tmp_path: Path) -> None:
    found = convert(tmp_path, "finqa", PUBLISHED / "test.json")
    assert [(each.group, each.reference) for each in found["finqa-number"]] == [
        ("NRV", "25%"),
        ("NRV", "250"),
        ("TSL", "1.25"),
    ]
    (yes,) = found["finqa-yes-no"]
    assert yes.reference == "yes"
    assert "net revenue | $ 1250.0 | $ 1000.0" in question(yes)


def finqa_page(**qa: Any) -> dict[str, Any]:
    return {
        "id": "NRV/2018/page_1.pdf-1",
        "filename": "NRV/2018/page_1.pdf",
        "pre_text": ["revenue rose ."],
        "post_text": ["."],
        "table": [["", "2018"], ["revenue", "1250"]],
        "qa": {"question": "by how much?", **qa},
    }


@pytest.mark.parametrize(
    ("answer", "result", "reference"),
    [
        ("25%", 0.25, "25%"),
        ("3.8%", 3.8, "3.8%"),
        ("37.81%", 37.81139, "37.81139%"),
        ("1%", 0.00764, "0.764%"),
        ("19.4%", -0.19355, "-19.355%"),
        ("26.7", 0.26667, "26.667"),
        ("$ 386797190 or $ 386.8 million", 386797189.66, "386797189.66"),
        ("$ 73576 thousand", 73576.0, "73576"),
        ("4.9\\n", 4.85514, "4.85514"),
        ("", 1393.0, "1393"),
        ("0%", 0.0, "0%"),
        ("12.5", "n/a", "12.5"),
    ],
)
def test_a_share_and_a_percentage_are_told_apart_by_the_published_answer(
    tmp_path: Path, answer: str, result: float | str, reference: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([finqa_page(answer=answer, exe_ans=result)]))
    (example,) = convert(tmp_path, "finqa", path)["finqa-number"]
    assert example.reference == reference


def test_a_question_whose_two_answers_contradict_each_other_is_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    good, bad = finqa_page(answer="25%", exe_ans=0.25), finqa_page(answer="28%", exe_ans=36003776400000.0)
    path.write_text(json.dumps([bad, good]))
    assert len(convert(tmp_path, "finqa", path)["finqa-number"]) == 1
    told = capsys.readouterr().out
    assert "a.json, entry 1: the published answer is '28%', the computed one 36003776400000" in told


@pytest.mark.parametrize(("write", "name"), [(write_parquet, "a.parquet"), (write_lines, "a.jsonl")])
def test_finqa_as_the_hub_has_it(tmp_path: Path, write: Any, name: str) -> None:
    page = finqa_page()
    flat = {key: page[key] for key in ("id", "pre_text", "post_text", "table")}
    row = flat | {"question": "by how much?", "answer": "25%", "final_result": "0.25", "program_re": "divide(1, 4)"}
    (example,) = convert(tmp_path, "finqa", write(tmp_path / name, [row]))["finqa-number"]
    assert (example.group, example.reference) == ("NRV", "25%")


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        ("fiqa", "a.csv", "sentence,target\nx,y\n", "a.csv, line 2: no column sentiment_score or score; there are"),
        ("fiqa", "a.csv", "sentence,target,score\nx,y,nan\n", "a.csv, line 2: sentiment_score: 'nan'"),
        ("fiqa", "a.csv", "sentence,target,score\nx,y\n", "a.csv, line 2: 2 columns, the first line has 3"),
        ("fiqa", "a.csv", 'sentence,target,score\nx\x00",' + "z" * 200_000 + ",1\n", "a.csv, line 2: not valid CSV"),
        ("fiqa", "a.json", "[]", "FiQA sentiment: the files hold no example"),
        ("fiqa", "a.json", "[1]", "a.json, entry 1: expected an object"),
        ("fiqa", "a.json", '{"1": {"info": [{}]}}', "a.json, entry 1: no column target"),
        ("fiqa", "a.json", '{"1": {"text": "x"}}', "a.json, entry 1: expected a sentence and its info"),
        ("fiqa", "a.json", '{"1": {"info": [{"target": 3}]}}', "a.json, entry 1: target: expected text, found 3"),
        ("fiqa", "a.json", "{", "1 column 2 (char 1); take the file as it was published"),
        ("fiqa", "a.jsonl", '{"sentence": "x"}\n{\n', "a.jsonl, line 2: not valid JSON"),
        ("finqa", "a.json", "[" + "1" * 5000 + "]", "a.json: not valid JSON"),
        ("fiqa", "a.json", "[" * 200_000, "a.json: not usable JSON: nested too deeply"),
        ("fiqa", "a.json", "\x1f\x8b", "a.json: packed with gzip; unpack it first"),
        ("fiqa", "a.json", "PK\x03\x04", "a.json: packed with zip; unpack it first"),
        ("fiqa", "a.json", "PAR1", "a.json: no Parquet file that can be read"),
        ("phrasebank", "a.txt", "fine@good\n", "a.txt, line 1: expected sentence@label"),
        ("phrasebank", "a.zip", "PK\x03\x04", "a.zip: no zip archive that can be read"),
        ("phrasebank", "a.csv", "sentence,label\nx,3\n", "a.csv, line 2: label: '3' is none of negative (0)"),
        ("phrasebank", "a.csv", "neutral,a\nneutral,a,b\n", "a.csv, line 2: expected label and sentence"),
        ("phrasebank", "a.csv", "x,y\n1,2\n", "a.csv, line 2: no column label or sentiment; there are x, y"),
        ("finqa", "a.json", "{}", "a.json: expected a list"),
        ("finqa", "a.json", '[{"filename": "A/1", "qa": 1}]', "a.json, entry 1: qa: expected an object"),
        ("finqa", "a.json", '[{"id": "A/1", "qa": {}}]', "take train.json, dev.json or test.json"),
        ("finqa", "a.json", '[{"qa_0": {}}]', "a.json, entry 1: a conversation, as in ConvFinQA"),
        (
            "finqa",
            "a.json",
            '[{"id": "A/1", "qa": {"exe_ans": "1e99999999"}}]',
            "neither exe_ans nor answer is a number",
        ),
        ("finqa", "a.json", "[]", "FinQA: the files hold no example"),
    ],
)
def test_a_file_of_another_form_is_refused_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    output = tmp_path / "out" / "suite"
    assert main(["suite", "convert", "--from", kind, str(tmp_path / name), "--output", str(output)]) == 2
    assert message in capsys.readouterr().err
    assert not output.parent.exists() or list(output.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["zip", "parquet"])
def test_what_unpacks_to_too_much_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE", 1024 * 1024)
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("Sentences_AllAgree.txt", "x" * (1024 * 1024 + 1))
    else:
        rows = [{"sentence": f"{number}" + "x" * 3000, "label": 1} for number in range(1000)]
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, compression="zstd")
    assert path.stat().st_size < 512 * 1024
    output = ["--output", str(tmp_path / "suite")]
    assert main(["suite", "convert", "--from", "phrasebank", str(path), *output]) == 2
    assert "unpacks to more than 1 MiB" in capsys.readouterr().err
