"""lm-eval's samples (`--log_samples`), one JSON object a line, from and to predictions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from finetune_trainer.scoring.predictions import PredictionsError, ScoredPrediction
from finetune_trainer.suite_command.writing import write_text
from finetune_trainer.suites.json_lines import Place, lines, parse
from finetune_trainer.suites.model import Example, LoadedSuite, SuiteError, Task

_FILE = re.compile(r"samples_(?P<task>.+)_\d{4}-\d\d-\d\dT.*\.jsonl")
_METRIC = "score"


def read_samples(path: Path, task: str | None, group: str | None, metric: str | None) -> tuple[ScoredPrediction, ...]:
    """Predictions, one for each doc_id. SuiteError names file, line and field."""
    named = _FILE.fullmatch(path.name)
    name = task or (named["task"] if named else None)
    if name is None:
        raise SuiteError(f"{path.name}: its name tells no task; give --task")
    found: dict[str, ScoredPrediction] = {}
    for number, line in lines(path, path.name):
        place = Place(path.name, number)
        each = _prediction(place, parse(place, line), name, group, metric)
        if each.id in found:
            raise SuiteError(f"{place}: doc_id: {each.id} is there twice; keep the samples of one filter")
        found[each.id] = each
    if not found:
        raise SuiteError(f"{path.name}: no sample in it")
    return tuple(found.values())


def write_samples(loaded: LoadedSuite, predictions: Sequence[ScoredPrediction], folder: Path) -> dict[Path, int]:
    """A file for each scored task. PredictionsError where the suite has no such example."""
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[Path, int] = {}
    known = {example.id: example for examples in loaded.examples.values() for example in examples}
    for each in predictions:
        if each.id not in known or known[each.id].task != each.task:
            raise PredictionsError(f"{each.id!r} of task {each.task!r} is not in suite {loaded.suite.name}")
    for task in loaded.suite.scored_tasks:
        answers = [each for each in predictions if each.task == task.name]
        rows = [_sample(number, task, known[each.id], each) for number, each in enumerate(answers)]
        if rows:
            path = folder / f"samples_{task.name}.jsonl"
            write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            written[path] = len(rows)
    return written


def _prediction(place: Place, sample: Any, task: str, group: str | None, metric: str | None) -> ScoredPrediction:
    if not isinstance(sample, dict) or "doc_id" not in sample:
        raise SuiteError(f"{place}: doc_id: missing; expected a sample as lm-eval logs it")
    doc = sample["doc"] if isinstance(sample.get("doc"), dict) else {}
    if group is not None and group not in doc:
        raise SuiteError(f"{place}: doc.{group}: missing; name a field of doc as --group")
    identifier = str(doc.get("id") or f"{task}-{sample['doc_id']}")
    try:
        return ScoredPrediction(
            id=identifier,
            task=task,
            group=str(doc[group]) if group is not None else str(doc.get("group", identifier)),
            prediction=_answer(place, sample),
            score=_score(place, sample, metric),
            parsed=True,
        )
    except pydantic.ValidationError as error:
        raise SuiteError(f"{place}: {error.errors(include_url=False)[0]['msg']}") from error


def _answer(place: Place, sample: Mapping[str, Any]) -> str:
    """The filtered response; for multiple choice the likelihoods, as lm-eval has them."""
    answers = sample.get("filtered_resps") or sample.get("resps")
    if not isinstance(answers, list) or not answers:
        raise SuiteError(f"{place}: filtered_resps: missing or empty")
    first = answers[0][0] if isinstance(answers[0], list) and len(answers) == 1 and answers[0] else answers[0]
    return first if isinstance(first, str) else json.dumps(answers, ensure_ascii=False)


def _score(place: Place, sample: Mapping[str, Any], metric: str | None) -> float:
    names = [metric] if metric is not None else _metric_names(sample)
    scores = {name: sample.get(name) for name in names}
    found = [value for value in scores.values() if isinstance(value, int | float) and 0 <= value <= 1]
    if not found:
        raise SuiteError(f"{place}: no score between 0 and 1 under {', '.join(names) or 'metrics'}; give --metric")
    return float(found[0])


def _metric_names(sample: Mapping[str, Any]) -> list[str]:
    metrics: Iterable[Any] = sample["metrics"] if isinstance(sample.get("metrics"), list) else ()
    return [str(name) for name in metrics]


def _sample(number: int, task: Task, example: Example, answered: ScoredPrediction) -> dict[str, Any]:
    asked = example.prompt or "\n\n".join(message.content for message in example.messages or ())
    limits = {"max_gen_toks": task.max_new_tokens, "do_sample": False}
    return {
        "doc_id": number,
        "doc": example.model_dump(mode="json", by_alias=True, exclude_none=True),
        "target": example.reference,
        "arguments": {"gen_args_0": {"arg_0": asked, "arg_1": limits}},
        "resps": [[answered.prediction]],
        "filtered_resps": [answered.prediction],
        "filter": "none",
        "metrics": [_METRIC],
        _METRIC: answered.score,
    }
