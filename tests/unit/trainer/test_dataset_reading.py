"""Every line that cannot be used is named with its number and its cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.dataset import reading
from finetune_trainer.dataset.examples import Conversation, PromptCompletion, from_line, to_line
from finetune_trainer.dataset.reading import NotJsonLinesError, ReadDataset, read_dataset
from finetune_trainer.dataset.shapes import Shape

GOOD = b'{"prompt": "a", "completion": "b"}'


def read(folder: Path, *lines: bytes, ending: bytes = b"\n") -> ReadDataset:
    path = folder / "dataset.jsonl"
    path.write_bytes(b"".join(line + ending for line in lines))
    return read_dataset(path)


def cause_of(folder: Path, line: bytes) -> str:
    problems = read(folder, line).problems
    assert [problem.line for problem in problems] == [1]
    return problems[0].cause


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b'{"prompt": "a", "completion": "b"', "not JSON: Expecting ',' delimiter at column 34"),
        (b"prompt,completion", "not JSON: Expecting value at column 1"),
        (b'["a", "b"]', "not a JSON object"),
        (b'{"text": "a"}', "keys of no known shape (text)"),
        (b"{}", "keys of no known shape (none)"),
        (b'{"prompt": "a"}', "'completion' is missing"),
        (b'{"completion": "a"}', "'prompt' is missing"),
        (b'{"instruction": "a", "input": "b"}', "'output' is missing"),
        (b'{"output": "a"}', "'instruction' is missing"),
        (b'{"prompt": "a", "completion": ""}', "'completion' is empty: there is nothing to learn"),
        (b'{"prompt": "a", "completion": " \\n"}', "'completion' is empty"),
        (b'{"prompt": " ", "completion": "b"}', "'prompt' is empty"),
        (b'{"prompt": "a", "completion": 4.25}', "'completion' must be text in quotes, not the number 4.25"),
        (b'{"instruction": 7, "output": "b"}', "'instruction' must be text in quotes, not the number 7"),
        (b'{"instruction": "a", "input": null, "output": "b"}', "'input' must be text in quotes, not null"),
        (b'{"prompt": true, "completion": "b"}', "not true"),
        (b'{"prompt": ["a"], "completion": "b"}', "not a list"),
        (b'{"prompt": {"a": 1}, "completion": "b"}', "not an object"),
        (b'{"prompt": "a", "prompt": "b", "completion": "c"}', "the key 'prompt' is given twice"),
        (b'{"prompt": "a", "messages": []}', "keys of several shapes (prompt/completion and messages)"),
        (b'{"prompt": "a", "completion": "\xff"}', "not UTF-8 (byte 0xff at position 32)"),
        (b'{"prompt": "a", "completion": "\\ud83d"}', "half of a character"),
        (b'{"messages": "hello"}', "'messages' must be a list of role and content, not text"),
        (b'{"messages": []}', "no message of the user"),
        (b'{"messages": ["hello"]}', "message 1 must be an object with role and content, not text"),
        (b'{"messages": [{"role": "user"}]}', "'content' of message 1 is missing"),
        (b'{"messages": [{"content": "a"}]}', "'role' of message 1 is missing"),
        (b'{"messages": [{"role": "bot", "content": "a"}]}', "message 1 has the role 'bot': it must be one of system"),
        (b'{"messages": [{"role": "user", "content": 5}]}', "'content' of message 1 must be text in quotes"),
        (b'{"messages": [{"role": "user", "content": ""}]}', "message 1 (user) is empty"),
        (b'{"messages": [{"role": "user", "content": "a"}]}', "the last message must be the assistant's"),
        (b'{"messages": [{"role": "assistant", "content": "a"}]}', "no message of the user"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"prompt": ' + b"1" * 5000 + b', "completion": "b"}', "a number of thousands of digits: put it in quotes"),
    ],
)
def test_a_bad_line_is_told_with_its_cause(tmp_path: Path, line: bytes, cause: str) -> None:
    assert cause in cause_of(tmp_path, line)


def test_a_late_system_message_is_told(tmp_path: Path) -> None:
    turns = [{"role": role, "content": "a"} for role in ("user", "system", "assistant")]
    assert "only the first message may be the system's" in cause_of(tmp_path, json.dumps({"messages": turns}).encode())


def test_an_over_long_line_is_told_and_the_next_one_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LINE_LIMIT_BYTES", 64)
    dataset = read(tmp_path, GOOD, b'{"prompt": "' + b"a" * 1000, GOOD)
    assert [numbered.line for numbered in dataset.examples] == [1, 3]
    assert [problem.line for problem in dataset.problems] == [2]
    assert "is there a line break missing?" in dataset.problems[0].cause


def test_every_bad_line_is_told_not_only_the_first(tmp_path: Path) -> None:
    dataset = read(tmp_path, b"{", GOOD, b"", b"}", GOOD, b"[]")
    assert [problem.line for problem in dataset.problems] == [1, 4, 6]
    assert [numbered.line for numbered in dataset.examples] == [2, 5]


def test_mixed_shapes_are_told_with_the_line_that_set_the_shape(tmp_path: Path) -> None:
    dataset = read(tmp_path, b"broken", GOOD, b'{"instruction": "a", "output": "b"}')
    assert str(dataset.problems[1]).startswith(
        "line 3: the shape is instruction/input/output, but line 2 has prompt/completion"
    )


def test_a_byte_order_mark_windows_line_ends_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    dataset = read(tmp_path, b"\xef\xbb\xbf" + GOOD, b"", b"  ", GOOD, ending=b"\r\n")
    assert [numbered.line for numbered in dataset.examples] == [1, 4]
    assert not dataset.problems


def test_the_last_line_needs_no_line_end(tmp_path: Path) -> None:
    assert len(read(tmp_path, GOOD, ending=b"").examples) == 1


@pytest.mark.parametrize(
    ("start", "what_it_is"),
    [
        (b"\x1f\x8b\x08\x00", "compressed with gzip"),
        (b"PK\x03\x04", "zip archive"),
        (b"PAR1", "Parquet"),
        (b"\xff\xfe{\x00", "UTF-16"),
    ],
)
def test_another_format_is_told_once(tmp_path: Path, start: bytes, what_it_is: str) -> None:
    with pytest.raises(NotJsonLinesError, match=what_it_is):
        read(tmp_path, start + b"rest")


def test_instruction_and_input_become_the_user_message(tmp_path: Path) -> None:
    with_input = b'{"instruction": "Find the EPS.", "input": "EPS was 2.", "output": "2"}'
    empty_input = b'{"instruction": "Say hello.", "input": "", "output": "Hello"}'
    no_input = b'{"instruction": "Say hello.", "output": "Hello"}'
    dataset = read(tmp_path, with_input, empty_input, no_input)
    assert [numbered.example for numbered in dataset.examples] == [
        PromptCompletion("Find the EPS.\n\nEPS was 2.", "2"),
        PromptCompletion("Say hello.", "Hello"),
        PromptCompletion("Say hello.", "Hello"),
    ]
    assert dataset.shape is Shape.INSTRUCTION


def test_messages_are_read_with_their_roles(tmp_path: Path) -> None:
    turns = [{"role": role, "content": role.upper()} for role in ("system", "user", "assistant")]
    example = read(tmp_path, json.dumps({"messages": turns, "id": 7}).encode()).examples[0].example
    assert isinstance(example, Conversation)
    assert list(example.messages) == turns


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(prompt=words, completion=words)
def test_the_canonical_line_keeps_every_character(prompt: str, completion: str) -> None:
    example = PromptCompletion(prompt, completion)
    line = to_line(example)
    assert from_line(line) == example
    assert len(line.splitlines()) >= 1
    assert "\n" not in line


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "dataset.jsonl"
    path.write_bytes(content)
    try:
        dataset = read_dataset(path)
    except NotJsonLinesError:
        return
    lines = [problem.line for problem in dataset.problems] + [numbered.line for numbered in dataset.examples]
    assert len(set(lines)) == len(lines) <= content.count(b"\n") + 1
