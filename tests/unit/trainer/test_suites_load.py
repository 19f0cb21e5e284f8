"""Loading a suite: what is read, and what each mistake is answered with."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_trainer.suites import digest, load, selection
from finetune_trainer.suites.model import SuiteError

Document = dict[str, Any]


def a_task(**changes: Any) -> Document:
    scorer = {"kind": "number", "absoluteTolerance": "0.005"}
    return {"name": "eps", "title": "EPS", "scorer": scorer, "examples": "eps.jsonl"} | changes


def an_example(**changes: Any) -> Document:
    return {"id": "eps-1", "task": "eps", "group": "Acme", "prompt": "EPS of Acme?", "reference": "1.23"} | changes


def write_suite(folder: Path, tasks: list[Document], files: dict[str, list[Document]]) -> Path:
    suite = {"name": "mine", "version": "1", "title": "Mine", "tasks": tasks}
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")
    for name, rows in files.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def write_example(folder: Path, **changes: Any) -> Path:
    return write_suite(folder, [a_task()], {"eps.jsonl": [an_example(**changes)]})


def write_lines(folder: Path, *lines: bytes) -> Path:
    write_suite(folder, [a_task()], {})
    (folder / "eps.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return folder


GOOD_LINE = json.dumps(an_example()).encode()


def test_a_suite_is_read_with_its_examples_in_the_order_of_their_ids(tmp_path: Path) -> None:
    rows = [an_example(id="b"), an_example(id="a")]
    loaded = load.load_suite(write_suite(tmp_path, [a_task()], {"eps.jsonl": rows}))
    assert [example.id for example in loaded.examples["eps"]] == ["a", "b"]
    assert loaded.suite.margin == 0.03


def test_two_tasks_may_share_a_file(tmp_path: Path) -> None:
    tasks = [a_task(), a_task(name="other")]
    rows = [an_example(), an_example(id="o-1", task="other")]
    loaded = load.load_suite(write_suite(tmp_path, tasks, {"eps.jsonl": rows}))
    assert [len(examples) for examples in loaded.examples.values()] == [1, 1]


def test_files_behind_links_within_the_folder_are_read_as_kubernetes_mounts_them(tmp_path: Path) -> None:
    data = tmp_path / "..data"
    data.mkdir()
    write_example(data)
    for name in ("suite.yaml", "eps.jsonl"):
        (tmp_path / name).symlink_to(Path("..data") / name)
    assert load.load_suite(tmp_path).suite.name == "mine"


NAN_SCORER = {"kind": "number", "absoluteTolerance": "nan"}

BAD_FOLDERS: list[tuple[str, Callable[[Path], Path], str]] = [
    ("no suite.yaml", lambda folder: folder, r"suite\.yaml: no such file"),
    ("no examples", lambda f: write_suite(f, [a_task()], {"eps.jsonl": []}), r"eps\.jsonl: no example of task 'eps'"),
    ("a missing file", lambda f: write_suite(f, [a_task()], {}), "'eps.jsonl' does not exist"),
    ("no tasks", lambda f: write_suite(f, [], {}), r"suite\.yaml: tasks: "),
    (
        "a path that leaves",
        lambda f: write_suite(f, [a_task(examples="../eps.jsonl")], {}),
        "leaves the suite's folder",
    ),
    ("an absolute path", lambda f: write_suite(f, [a_task(examples="/etc/passwd")], {}), "leaves the suite's folder"),
    (
        "an unknown scorer",
        lambda f: write_suite(f, [a_task(scorer={"kind": "magic"})], {}),
        r"suite\.yaml: tasks\.0\.scorer: .*'number', 'label', 'growth'",
    ),
    ("a task twice", lambda f: write_suite(f, [a_task(), a_task()], {}), "eps is there more than once"),
    ("a task named overall", lambda f: write_suite(f, [a_task(name="overall")], {}), "choose another"),
    (
        "perplexity alone",
        lambda f: write_suite(f, [a_task(scorer={"kind": "perplexity"})], {}),
        "perplexity alone has no score",
    ),
    ("a misspelt field", lambda f: write_suite(f, [a_task(maxTokens=3)], {}), r"tasks\.0\.maxTokens: Extra inputs"),
    ("broken JSON", lambda f: write_lines(f, GOOD_LINE, b'{"id": '), r"eps\.jsonl, line 2: not valid JSON"),
    ("not UTF-8", lambda f: write_lines(f, b"\xff\xfe"), r"eps\.jsonl, line 1: not UTF-8"),
    ("a list", lambda f: write_lines(f, b"", b"[1]"), r"eps\.jsonl, line 2: expected a JSON object"),
    ("deep nesting", lambda f: write_lines(f, b"[" * 100_000), r"eps\.jsonl, line 1: not valid JSON"),
    (
        "a number of thousands of digits",
        lambda f: write_lines(f, GOOD_LINE.replace(b'"1.23"', b"1" * 5000)),
        r"eps\.jsonl, line 1: not valid JSON",
    ),
    ("an over-long line", lambda f: write_lines(f, GOOD_LINE, b" " * 1_048_577), "line 2: longer than 1 MiB"),
    (
        "an id twice",
        lambda f: write_lines(f, GOOD_LINE, GOOD_LINE),
        "line 2: id: 'eps-1' is used in eps.jsonl, line 1",
    ),
    ("an unknown task", lambda f: write_example(f, task="eeps"), "line 1: task: 'eeps' is out of place; .* for eps"),
    ("no reference", lambda f: write_example(f, reference=None), "line 1: reference: missing"),
    ("an unreadable reference", lambda f: write_example(f, reference="a lot"), "line 1: reference: 'a lot' is not one"),
    ("a number as prompt", lambda f: write_example(f, prompt=5), "line 1: prompt: Input should be a valid string"),
    ("no group", lambda f: write_example(f, group=None), "line 1: group: "),
    ("two bodies", lambda f: write_example(f, text="x"), "exactly one of messages, prompt and text"),
    ("an empty prompt", lambda f: write_example(f, prompt=""), "line 1: prompt: "),
    ("a lone surrogate", lambda f: write_lines(f, GOOD_LINE.replace(b"Acme?", rb"\ud800")), r"line 1: (prompt|not)"),
    (
        "a question in a perplexity task",
        lambda f: write_suite(
            f,
            [a_task(), a_task(name="texts", scorer={"kind": "perplexity"}, examples="texts.jsonl")],
            {"eps.jsonl": [an_example()], "texts.jsonl": [an_example(id="t", task="texts")]},
        ),
        r"texts\.jsonl, line 1: text: missing",
    ),
    (
        "a label that is none of them",
        lambda f: write_suite(
            f,
            [a_task(scorer={"kind": "label", "labels": ["up", "down"]})],
            {"eps.jsonl": [an_example(reference="left")]},
        ),
        "'left' is not one of the labels up, down",
    ),
    (
        "a choice task without choices",
        lambda f: write_suite(f, [a_task(scorer={"kind": "choice"})], {"eps.jsonl": [an_example()]}),
        "line 1: choices: missing",
    ),
    (
        "a reference that is no choice",
        lambda f: write_suite(
            f, [a_task(scorer={"kind": "choice"})], {"eps.jsonl": [an_example(choices=["1.2", "1.3"], reference="C")]}
        ),
        "line 1: reference: 'C' is none of the choices, nor the letter of one",
    ),
    (
        "a choice twice",
        lambda f: write_suite(
            f, [a_task(scorer={"kind": "choice"})], {"eps.jsonl": [an_example(choices=["1", "1"], reference="1")]}
        ),
        "line 1: choices: two of them are the same",
    ),
    ("choices that nobody offers", lambda f: write_example(f, choices=["1", "2"]), "only a choice task offers them"),
    (
        "a reference without a word",
        lambda f: write_suite(f, [a_task(scorer={"kind": "span"})], {"eps.jsonl": [an_example(reference="the ...")]}),
        "'the ...' has no word or figure",
    ),
    ("a weight that is no number", lambda f: write_suite(f, [a_task(weight=float("nan"))], {}), r"tasks\.0\.weight: "),
    ("an endless weight", lambda f: write_suite(f, [a_task(weight=float("inf"))], {}), r"tasks\.0\.weight: "),
    ("a tolerance that is no number", lambda f: write_suite(f, [a_task(scorer=NAN_SCORER)], {}), "absoluteTolerance: "),
    ("an empty line only", lambda f: write_lines(f, b"", b"  "), r"eps\.jsonl: no example of task 'eps'"),
    ("a folder as file", lambda f: write_suite(f, [a_task(examples=".")], {}), "'.' does not exist"),
    ("a path with a NUL", lambda f: write_suite(f, [a_task(examples="a\0b")], {}), "names no file"),
    ("a path that is too long", lambda f: write_suite(f, [a_task(examples="a" * 300)], {}), r"tasks\.0\.examples: "),
    (
        "a growth without a direction",
        lambda f: write_suite(f, [a_task(scorer={"kind": "growth"})], {"eps.jsonl": [an_example(reference="5%")]}),
        "'5%' is not a direction and a percentage",
    ),
]


@pytest.mark.parametrize(("write", "message"), [pytest.param(*bad[1:], id=bad[0]) for bad in BAD_FOLDERS])
def test_a_mistake_is_answered_with_its_place_and_remedy(
    tmp_path: Path, write: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(SuiteError, match=message):
        load.load_suite(write(tmp_path))


def test_suite_yaml_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    for text in ("- a", "{", "\x00"):
        (tmp_path / "suite.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(SuiteError, match=r"suite\.yaml: "):
            load.load_suite(tmp_path)


def test_a_version_that_reads_as_a_date_of_no_calendar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("version: 2026-02-30\n")
    with pytest.raises(SuiteError, match=r"suite\.yaml: not valid YAML: day is out of range"):
        load.load_suite(tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "suite"
    folder.mkdir()
    (tmp_path / "secret.jsonl").write_text(GOOD_LINE.decode(), encoding="utf-8")
    write_suite(folder, [a_task()], {})
    (folder / "eps.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(SuiteError, match="leaves the suite's folder"):
        load.load_suite(folder)


def test_an_endless_line_does_not_fill_the_memory(tmp_path: Path) -> None:
    write_suite(tmp_path, [a_task()], {"eps.jsonl": []})
    os.truncate(tmp_path / "eps.jsonl", 100 * load.MAX_LINE_BYTES)
    tracemalloc.start()
    try:
        with pytest.raises(SuiteError, match="line 1: longer than 1 MiB"):
            load.load_suite(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * load.MAX_LINE_BYTES


def test_an_unknown_built_in_suite_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SuiteError, match="choose one of: finance"):
        load.builtin_suite_folder("../finance")


def test_a_task_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    loaded = load.load_suite(write_example(tmp_path))
    with pytest.raises(SuiteError, match="has no task 'sentiment'; it has eps"):
        loaded.suite.task("sentiment")


def test_the_digest_follows_the_content_and_not_the_layout(tmp_path: Path) -> None:
    rows = [an_example(id="a"), an_example(id="b")]
    first = digest.suite_digest(load.load_suite(write_suite(tmp_path, [a_task()], {"eps.jsonl": rows})))
    again = write_suite(tmp_path, [a_task()], {"eps.jsonl": [dict(reversed(row.items())) for row in reversed(rows)]})
    assert digest.suite_digest(load.load_suite(again)) == first
    one_changed = write_suite(tmp_path, [a_task()], {"eps.jsonl": [rows[0], rows[1] | {"reference": "1.24"}]})
    assert digest.suite_digest(load.load_suite(one_changed)) != first


def test_the_digest_follows_the_limit(tmp_path: Path) -> None:
    rows = [an_example(id=str(number)) for number in range(5)]
    loaded = load.load_suite(write_suite(tmp_path, [a_task()], {"eps.jsonl": rows}))
    digests = {digest.suite_digest(selection.select_each(loaded, limit)) for limit in (None, 4, 3)}
    assert len(digests) == 3
    assert digest.suite_digest(selection.select_each(loaded, 99)) == digest.suite_digest(loaded)
