"""A decision file: what it does to the examples, and what is said about a wrong one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.dataset.examples import PromptCompletion
from finetune_trainer.dataset.quality.decisions import apply_decisions, read_decisions
from finetune_trainer.dataset.quality.passages import example_id
from finetune_trainer.dataset.reading import NumberedExample
from finetune_trainer.failures import UserError

_FIELD = "spec.dataset.decisions.configMap.key"
_EXAMPLES = tuple(NumberedExample(line, PromptCompletion(f"question {line}", "answer")) for line in (1, 2, 4))
_IDS = {numbered.line: example_id(numbered.example) for numbered in _EXAMPLES}
_RIGHT = {"instruction": "question 4", "output": "right"}


def decided(folder: Path, *decisions: Any) -> Any:
    file = folder / "decisions.jsonl"
    file.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in decisions))
    return apply_decisions(_EXAMPLES, read_decisions(file, _FIELD), _FIELD)


def test_each_decision_does_what_it_says(tmp_path: Path) -> None:
    done = decided(
        tmp_path,
        {"id": _IDS[1], "decision": "accept"},
        "",
        {"id": _IDS[2], "decision": "reject"},
        {"id": _IDS[4], "decision": "fix", "example": _RIGHT},
    )
    assert done.examples == (_EXAMPLES[0], NumberedExample(4, PromptCompletion("question 4", "right")))
    assert (done.accepted, done.rejected, done.fixed) == (frozenset({1}), 1, 1)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ({"id": "0" * 16, "decision": "accept"}, "line 2: 'id': the dataset has no example '0000000000000000'"),
        ({"id": _IDS[1], "decision": "reject"}, "line 2: 'id': line 1 decides about the same example"),
        ('{"id": ', "line 2: not JSON: Expecting value at column 8"),
        ("[]", "line 2: not a JSON object"),
        ("[" * 100_000, "line 2: not usable JSON: nested too deeply"),
        ('{"id": ' + "1" * 5000 + "}", "line 2: not usable JSON: a number of thousands of digits"),
        ({"id": _IDS[2], "decision": "maybe"}, "line 2: 'decision' must be one of accept, reject, fix, not \"maybe\""),
        ({"id": _IDS[2], "decision": ["accept"]}, "line 2: 'decision' must be one of"),
        ({"id": 3, "decision": "accept"}, "line 2: 'id' must be the id"),
        ({"id": _IDS[2], "decision": "fix"}, "line 2: 'example' must be the corrected example"),
        ({"id": _IDS[2], "decision": "fix", "example": {"prompt": "a"}}, "line 2: 'example': 'completion' is missing"),
        (
            {
                "id": _IDS[2],
                "decision": "fix",
                "example": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            },
            "line 2: 'example' has another shape",
        ),
    ],
)
def test_a_wrong_line_is_named_with_its_field(tmp_path: Path, line: Any, what: str) -> None:
    with pytest.raises(UserError) as caught:
        decided(tmp_path, {"id": _IDS[1], "decision": "accept"}, line)
    assert caught.value.message.startswith(f"{_FIELD}: {what}")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    file.write_bytes(b"\xff\xfe{")
    with pytest.raises(UserError, match="not UTF-8 text"):
        read_decisions(file, _FIELD)


def test_decisions_are_part_of_the_digest_whatever_their_order(tmp_path: Path) -> None:
    one, other = {"id": _IDS[1], "decision": "accept"}, {"id": _IDS[2], "decision": "reject"}
    digests = [decided(tmp_path, *order).digest for order in ((one, other), (other, one), (one,))]
    assert digests[0] == digests[1] != digests[2]
    assert decided(tmp_path).digest is None


def copies_decided(folder: Path, *decisions: Any) -> Any:
    """About three lines of one content."""
    file = folder / "decisions.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in decisions))
    copies = tuple(NumberedExample(line, PromptCompletion("question", "answer")) for line in (3, 5, 9))
    return apply_decisions(copies, read_decisions(file, _FIELD), _FIELD)


_COPIED = example_id(PromptCompletion("question", "answer"))


@pytest.mark.parametrize(
    ("decisions", "lines", "accepted", "kept"),
    [
        ([{"id": _COPIED, "decision": "reject"}], [], set(), set()),
        ([{"id": f"{_COPIED}-2", "decision": "reject"}], [3, 9], set(), set()),
        ([{"id": _COPIED, "decision": "accept"}], [3, 5, 9], {3, 5, 9}, {3}),
        ([{"id": f"{_COPIED}-3", "decision": "accept"}], [3, 5, 9], {9}, {9}),
        ([{"id": _COPIED, "decision": "reject"}, {"id": f"{_COPIED}-3", "decision": "accept"}], [9], {9}, {9}),
    ],
)
def test_a_copy_has_an_id_of_its_own_and_else_shares_what_is_decided_about_the_first(
    tmp_path: Path, decisions: list[dict[str, str]], lines: list[int], accepted: set[int], kept: set[int]
) -> None:
    done = copies_decided(tmp_path, *decisions)
    assert ([numbered.line for numbered in done.examples], done.accepted, done.kept) == (lines, accepted, kept)


def test_a_copy_that_is_fixed_leaves_the_first_as_it_is(tmp_path: Path) -> None:
    right = {"prompt": "another question", "completion": "answer"}
    done = copies_decided(tmp_path, {"id": f"{_COPIED}-2", "decision": "fix", "example": right})
    assert [numbered.example.prompt for numbered in done.examples] == ["question", "another question", "question"]


def test_a_decision_about_a_copy_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"line 1: 'id': the dataset has no example '{_COPIED}-4'"):
        copies_decided(tmp_path, {"id": f"{_COPIED}-4", "decision": "reject"})


@given(st.sets(st.sampled_from([1, 2, 4])))
def test_what_is_rejected_and_nothing_else_is_left_out(lines: set[int]) -> None:
    from finetune_trainer.dataset.quality.decisions import Decision, Verdict

    decisions = [Decision(number, _IDS[line], Verdict.REJECT) for number, line in enumerate(lines, start=1)]
    done = apply_decisions(_EXAMPLES, decisions, _FIELD)
    assert {numbered.line for numbered in done.examples} == {1, 2, 4} - lines
