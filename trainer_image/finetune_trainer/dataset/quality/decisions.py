"""What a person decided about examples: accept, reject or fix. It is applied before anything is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

from finetune_api.conditions import Reason
from finetune_trainer.dataset.examples import Example, to_line
from finetune_trainer.dataset.quality.passages import copied_id, example_ids
from finetune_trainer.dataset.reading import NumberedExample
from finetune_trainer.dataset.shapes import BadExampleError, example_of, shape_of
from finetune_trainer.digests import document_digest
from finetune_trainer.failures import UserError


class Verdict(StrEnum):
    """The three words."""

    ACCEPT = "accept"
    REJECT = "reject"
    FIX = "fix"


@dataclass(frozen=True)
class Decision:
    """About the example with this id, told in this line of the file."""

    line: int
    id: str
    verdict: Verdict
    example: Example | None = None
    """The right one, where it is fixed."""


@dataclass(frozen=True)
class Decided:
    """The examples after what was decided."""

    examples: tuple[NumberedExample, ...]
    ids: Mapping[int, str]
    """Of every line, as the source has it: a decision names an example the same before and after it was applied."""
    accepted: frozenset[int] = frozenset()
    """Lines whose findings count no more."""
    kept: frozenset[int] = frozenset()
    """Those of them that stay even where they are copies: the decision names the very line."""
    rejected: int = 0
    fixed: int = 0
    digest: str | None = None
    """Of the decisions, whatever their order; None without any."""


def undecided(examples: Sequence[NumberedExample]) -> Decided:
    """The examples as they are."""
    return Decided(tuple(examples), example_ids(examples))


def read_decisions(path: Path, field: str) -> tuple[Decision, ...]:
    """All decisions of a file. UserError (DatasetInvalid) names the first line that is wrong, and what is."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(field, "the file is not UTF-8 text", error)
    decisions = [_read(number, line, field) for number, line in _filled_lines(content)]
    first: dict[str, int] = {}
    for decision in decisions:
        if decision.id in first:
            earlier = f"line {first[decision.id]} decides about the same example '{decision.id}'"
            _refuse(field, f"line {decision.line}: 'id': {earlier}: keep one of them")
        first[decision.id] = decision.line
    return tuple(decisions)


def apply_decisions(examples: Sequence[NumberedExample], decisions: Sequence[Decision], field: str) -> Decided:
    """UserError (DatasetInvalid) for a decision about an example that is not there. A copy about which nothing is said
    shares what was decided about the first."""
    by_id = {decision.id: decision for decision in decisions}
    ids = example_ids(examples)
    there = frozenset(ids.values())
    missing = next((decision for decision in decisions if decision.id not in there), None)
    if missing is not None:
        _refuse(
            field,
            f"line {missing.line}: 'id': the dataset has no example '{missing.id}': it was changed or taken out since "
            "review.jsonl was written; take the line out",
        )
    chosen = [(numbered, _about(ids[numbered.line], by_id)) for numbered in examples]
    after = [_after(numbered, decision, field) for numbered, decision in chosen if not _is(decision, Verdict.REJECT)]
    return Decided(
        examples=tuple(after),
        ids=ids,
        accepted=frozenset(numbered.line for numbered, decision in chosen if _is(decision, Verdict.ACCEPT)),
        kept=frozenset(line for line, name in ids.items() if _is(by_id.get(name), Verdict.ACCEPT)),
        rejected=sum(_is(decision, Verdict.REJECT) for _, decision in chosen),
        fixed=sum(_is(decision, Verdict.FIX) for _, decision in chosen),
        digest=_digest(decisions) if decisions else None,
    )


def _about(name: str, by_id: Mapping[str, Decision]) -> Decision | None:
    return by_id.get(name, by_id.get(copied_id(name)))


def _after(numbered: NumberedExample, decision: Decision | None, field: str) -> NumberedExample:
    if decision is None or decision.example is None:
        return numbered
    if type(decision.example) is not type(numbered.example):
        _refuse(field, f"line {decision.line}: 'example' has another shape than the example that it takes the place of")
    return NumberedExample(numbered.line, decision.example)


def _is(decision: Decision | None, verdict: Verdict) -> bool:
    return decision is not None and decision.verdict is verdict


def _digest(decisions: Sequence[Decision]) -> str:
    told = sorted(
        (decision.id, decision.verdict.value, to_line(decision.example) if decision.example else "")
        for decision in decisions
    )
    return document_digest(told)


def _filled_lines(content: str) -> list[tuple[int, str]]:
    return [(number, line) for number, line in enumerate(content.split("\n"), start=1) if line.strip()]


def _read(number: int, line: str, field: str) -> Decision:
    try:
        return _decision(number, _parsed(line))
    except BadExampleError as error:
        _refuse(field, f"line {number}: {error}", error)


def _parsed(line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadExampleError(f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise BadExampleError("not usable JSON: nested too deeply") from error
    except ValueError as error:  # the one JSON that Python does not read
        raise BadExampleError("not usable JSON: a number of thousands of digits") from error
    if not isinstance(document, dict):
        raise BadExampleError("not a JSON object: give id and decision in braces")
    return document


def _decision(number: int, document: dict[str, Any]) -> Decision:
    name, word = document.get("id"), document.get("decision")
    if not isinstance(name, str) or not name:
        raise BadExampleError("'id' must be the id that review.jsonl gives the example")
    if not isinstance(word, str) or word not in set(Verdict):
        raise BadExampleError(f"'decision' must be one of {', '.join(Verdict)}, not {json.dumps(word)[:80]}")
    if word == Verdict.FIX:
        return Decision(number, name, Verdict.FIX, _fixed(document))
    return Decision(number, name, Verdict(word))


def _fixed(document: dict[str, Any]) -> Example:
    example = document.get("example")
    if not isinstance(example, dict):
        raise BadExampleError("'example' must be the corrected example, as the decision is fix")
    try:
        return example_of(example, shape_of(example))
    except BadExampleError as error:
        raise BadExampleError(f"'example': {error}") from error


def _refuse(field: str, what: str, cause: Exception | None = None) -> NoReturn:
    raise UserError(Reason.DATASET_INVALID, f"{field}: {what}") from cause
