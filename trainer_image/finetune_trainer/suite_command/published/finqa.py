"""FinQA: questions about a page of a report, with its table, that need arithmetic."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from finetune_trainer.scoring import number_answers
from finetune_trainer.suite_command.published import files
from finetune_trainer.suite_command.published.converted import Converted, suite_of, task_of
from finetune_trainer.suites.model import Example, Message, SuiteError

_QUESTION = "Answer the question from the report. End with a line 'Answer: ' and the {kind}."
_YES_NO = ("yes", "no")
_FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?|\.\d+")
_AGREES_WITHIN = Decimal("0.01")
_MOST_DIGITS = 30
"""No result has more; written out, '1e99999999' fills the memory."""
_SCORERS: Mapping[str, Mapping[str, Any]] = {
    "finqa-number": {"kind": "number", "marker": "Answer:", "relativeTolerance": "0.01"},
    "finqa-yes-no": {"kind": "label", "labels": _YES_NO},
}


class _ContradictionError(Exception):
    """The computed result is another one than the published answer: no answer would be surely right."""


def finqa(paths: Sequence[Path]) -> Converted:
    """Pages, each with a question, as the authors have them or as a table. The group is the company that the file's
    name begins with."""
    examples: list[Example] = []
    left_out: list[str] = []
    for place, entry in (row for path in paths for row in _pages(path)):
        try:
            examples.append(_example(place, entry))
        except _ContradictionError as found:
            left_out.append(f"{place}: {found}")
    names = {example.task for example in examples}
    tasks = [task_of(name, name, scorer, 256) for name, scorer in _SCORERS.items() if name in names]
    return Converted(suite_of("finqa", "FinQA", tasks), examples, tuple(left_out))


def _pages(path: Path) -> Iterator[files.Row]:
    for place, entry in files.table(path):
        if "annotation" in entry or "qa_0" in entry:
            raise SuiteError(f"{place}: a conversation, as in ConvFinQA; take FinQA's files (qa with one question)")
        # The authors keep the question beside its page, tables have it in columns of the page.
        qa = entry.get("qa", entry)
        if not isinstance(qa, Mapping):
            raise SuiteError(f"{place}: qa: expected an object with question, answer and exe_ans")
        yield place, {**entry, "qa": qa}


def _example(place: str, entry: Mapping[str, Any]) -> Example:
    qa = entry["qa"]
    identifier = files.words(place, entry, "id", "filename")
    reference = _reference(place, qa)
    is_number = reference not in _YES_NO
    parts = (
        _QUESTION.format(kind="number" if is_number else "word yes or no"),
        "\n".join(map(str, _lines(place, entry, "pre_text"))),
        "\n".join(" | ".join(map(str, row)) for row in _lines(place, entry, "table")),
        "\n".join(map(str, _lines(place, entry, "post_text"))),
        "Question: " + files.words(place, qa, "question"),
    )
    return Example(
        id=identifier[:256],
        task="finqa-number" if is_number else "finqa-yes-no",
        group=str(entry.get("filename") or identifier).partition("/")[0],
        messages=(Message(role="user", content="\n\n".join(part for part in parts if part.strip())),),
        reference=reference,
    )


def _lines(place: str, entry: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = files.column(place, entry, name)
    if not isinstance(found, list) or (name == "table" and not all(isinstance(row, list) for row in found)):
        raise SuiteError(f"{place}: {name}: expected a list of {'rows' if name == 'table' else 'lines'}")
    return found


def _reference(place: str, qa: Mapping[str, Any]) -> str:
    """The computed result, which is exact; in percent where the published answer is, for most are computed as a share
    and some as the percentage itself."""
    result, told = qa.get("exe_ans", qa.get("final_result")), str(qa.get("answer") or "").strip()
    if str(result) in _YES_NO:
        return str(result)
    value = _number(result)
    if value is None:
        return _as_told(place, told)
    if not _FIGURE.search(told):
        return _plain(value)
    figures = [Decimal(figure.replace(",", "")) for figure in _FIGURE.findall(told)]
    percent = "%" if told.endswith("%") else ""
    # A small percentage, rounded, agrees with both; shares are far more frequent.
    forms = (value * 100, value) if percent else (value, value * 100)
    for form in forms:
        if any(_agree(form, figure) for figure in figures):
            return f"{_plain(form)}{percent}"
    raise _ContradictionError(f"the published answer is {told[:80]!r}, the computed one {_plain(value)}")


def _as_told(place: str, told: str) -> str:
    if told in _YES_NO or number_answers.last(told) is not None:
        return told
    raise SuiteError(
        f"{place}: qa: neither exe_ans nor answer is a number, yes or no; the answers to private_test.json are not "
        "published: take train.json, dev.json or test.json"
    )


def _number(result: object) -> Decimal | None:
    try:
        value = Decimal(str(result))
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value.adjusted()) < _MOST_DIGITS else None


def _agree(value: Decimal, figure: Decimal) -> bool:
    """But for the sign, which answers often leave to the words, and for the last digit that was told."""
    last_digit = Decimal(1).scaleb(min(0, int(figure.as_tuple().exponent)))
    apart = abs(abs(value) - figure)
    return apart < last_digit or apart <= _AGREES_WITHIN * abs(value)


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
