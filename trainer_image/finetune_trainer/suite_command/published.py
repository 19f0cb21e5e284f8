"""FiQA sentiment, Financial PhraseBank and FinQA in the files that their authors publish."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from finetune_trainer.scoring import number_answers
from finetune_trainer.suite_command.clusters import clusters
from finetune_trainer.suite_command.writing import Converted
from finetune_trainer.suites.model import Example, Message, Suite, SuiteError

LARGEST_FILE = 512 * 1024 * 1024
NEUTRAL = Decimal("0.1")
"""FiQA scores sentiment from -1 to 1; within this of 0 it counts as neutral."""

_MOODS = ("positive", "negative", "neutral")
_MOOD_QUESTION = "What is the sentiment of this financial text? Answer with one word: positive, negative or neutral."
_FINQA_QUESTION = "Answer the question from the report. End with a line 'Answer: ' and the {kind}."
_YES_NO = ("yes", "no")


def fiqa(files: Sequence[Path]) -> Converted:
    """JSON by number with sentence and info, or CSV with the columns sentence, target and sentiment_score."""
    rows = [row for path in files for row in (_fiqa_csv(path) if path.suffix == ".csv" else _fiqa_json(path))]
    examples = [
        _mood(f"fiqa-{number:05d}", "fiqa", sentence, _polarity(place, score), group=target.strip().casefold())
        for number, (place, sentence, target, score) in enumerate(rows, start=1)
    ]
    return _moods("fiqa", "FiQA sentiment", examples)


def phrasebank(files: Sequence[Path]) -> Converted:
    """`sentence@label` in latin-1. Sentences that share much of their wording are one group."""
    rows = [row for path in files for row in _phrasebank_rows(path)]
    groups = clusters([sentence for sentence, _ in rows])
    examples = [
        _mood(f"phrasebank-{number:05d}", "phrasebank", sentence, mood, group=f"cluster-{group + 1:05d}")
        for number, ((sentence, mood), group) in enumerate(zip(rows, groups, strict=True), start=1)
    ]
    return _moods("phrasebank", "Financial PhraseBank", examples)


def finqa(files: Sequence[Path]) -> Converted:
    """A list of report pages, each with a question. The group is the company that the file's name begins with."""
    examples = [
        _finqa(f"{path.name}, entry {number}", entry)
        for path in files
        for number, entry in enumerate(_list(path), start=1)
    ]
    found = {example.task for example in examples}
    number = {"kind": "number", "marker": "Answer:", "relativeTolerance": "0.01"}
    scorers: dict[str, Mapping[str, Any]] = {
        "finqa-number": number,
        "finqa-yes-no": {"kind": "label", "labels": _YES_NO},
    }
    tasks = [_task(name, name, scorer, 256) for name, scorer in scorers.items() if name in found]
    return Converted(_suite("finqa", "FinQA", tasks), examples)


FORMATS: Mapping[str, Callable[[Sequence[Path]], Converted]] = {
    "fiqa": fiqa,
    "phrasebank": phrasebank,
    "finqa": finqa,
}


def _moods(name: str, title: str, examples: Sequence[Example]) -> Converted:
    return Converted(_suite(name, title, [_task(name, title, {"kind": "label", "labels": _MOODS}, 8)]), examples)


def _suite(name: str, title: str, tasks: Sequence[Mapping[str, Any]]) -> Suite:
    if not tasks:
        raise SuiteError(f"{title}: the files hold no example")
    return Suite.model_validate({"name": name, "version": "1", "title": title, "tasks": tasks})


def _task(name: str, title: str, scorer: Mapping[str, Any], tokens: int) -> Mapping[str, Any]:
    return {"name": name, "title": title, "scorer": scorer, "maxNewTokens": tokens, "examples": f"{name}.jsonl"}


def _mood(identifier: str, task: str, sentence: str, mood: str, *, group: str) -> Example:
    asked = (Message(role="user", content=f"{_MOOD_QUESTION}\n\n{sentence.strip()}"),)
    return Example(id=identifier, task=task, group=group or identifier, messages=asked, reference=mood)


def _polarity(place: str, score: object) -> str:
    try:
        value = Decimal(str(score))
    except InvalidOperation:
        raise SuiteError(f"{place}: sentiment_score: {score!r} is not a number") from None
    if not value.is_finite() or abs(value) > 1:
        raise SuiteError(f"{place}: sentiment_score: {score!r} does not lie between -1 and 1")
    return "neutral" if abs(value) <= NEUTRAL else "positive" if value > 0 else "negative"


def _fiqa_csv(path: Path) -> Iterator[tuple[str, str, str, object]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = {"sentence", "target", "sentiment_score"} - set(reader.fieldnames or ())
        if missing:
            raise SuiteError(f"{path.name}: no column {', '.join(sorted(missing))}; is it FiQA's?")
        for row in reader:
            yield f"{path.name}, line {reader.line_num}", row["sentence"], row["target"], row["sentiment_score"]


def _fiqa_json(path: Path) -> Iterator[tuple[str, str, str, object]]:
    document = _json(path)
    if not isinstance(document, dict):
        raise SuiteError(f"{path.name}: expected an object of numbered sentences; is it FiQA's?")
    for key, entry in document.items():
        place = f"{path.name}, entry {key}"
        for info in _field(place, entry, "info", list):
            target = _field(place, info, "target", str)
            yield place, _field(place, entry, "sentence", str), target, _field(place, info, "sentiment_score", object)


def _phrasebank_rows(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_text(path, "latin-1").split("\n"), start=1):
        if not line.strip():
            continue
        sentence, _, mood = line.rstrip().rpartition("@")
        if mood not in _MOODS or not sentence.strip():
            raise SuiteError(f"{path.name}, line {number}: expected sentence@label with one of {', '.join(_MOODS)}")
        yield sentence, mood


def _finqa(place: str, entry: Any) -> Example:
    qa = _field(place, entry, "qa", dict)
    name = _field(place, entry, "filename", str)
    reference = _finqa_reference(place, qa)
    is_number = reference not in _YES_NO
    table = "\n".join(" | ".join(map(str, row)) for row in _field(place, entry, "table", list))
    parts = (
        _FINQA_QUESTION.format(kind="number" if is_number else "word yes or no"),
        "\n".join(map(str, _field(place, entry, "pre_text", list))),
        table,
        "\n".join(map(str, _field(place, entry, "post_text", list))),
        "Question: " + _field(place, qa, "question", str),
    )
    return Example(
        id=str(entry.get("id") or place)[:256],
        task="finqa-number" if is_number else "finqa-yes-no",
        group=name.partition("/")[0] or name,
        messages=(Message(role="user", content="\n\n".join(part for part in parts if part.strip())),),
        reference=reference,
    )


def _finqa_reference(place: str, qa: Mapping[str, Any]) -> str:
    """The computed result, which is exact; in percent where the published answer is, for it is computed as a share."""
    result, told = qa.get("exe_ans"), str(qa.get("answer", "")).strip()
    if str(result) in _YES_NO:
        return str(result)
    try:
        value = Decimal(str(result))
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite():
        found = number_answers.last(told)
        if found is None:
            raise SuiteError(f"{place}: qa: neither exe_ans nor answer is a number, yes or no")
        return told
    return f"{value * 100:f}%" if told.endswith("%") else f"{value:f}"


def _list(path: Path) -> list[Any]:
    document = _json(path)
    if not isinstance(document, list):
        raise SuiteError(f"{path.name}: expected a list of report pages; is it FinQA's?")
    return document


def _field(place: str, entry: Any, name: str, kind: type) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get(name), kind) or entry[name] is None:
        raise SuiteError(f"{place}: {name}: missing, or not of the published form")
    return entry[name]


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path, "utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SuiteError(f"{path.name}: not valid JSON: {error}") from error


def _text(path: Path, encoding: str) -> str:
    if path.stat().st_size > LARGEST_FILE:
        raise SuiteError(f"{path.name}: larger than {LARGEST_FILE // 2**20} MiB; split it")
    try:
        return path.read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path.name}: not {encoding} at byte {error.start}") from error
