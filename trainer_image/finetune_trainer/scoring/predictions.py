"""One answer of one model to one example, as it is kept: a JSON object a line."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from finetune_trainer.scoring import scorers
from finetune_trainer.suites import json_lines, model


class PredictionsError(ValueError):
    """A file of predictions that cannot be read; the message names file and line."""


class ScoredPrediction(BaseModel):
    """An answer with its score, or for raw text its likelihood."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    id: str
    task: str
    group: str
    pattern: str | None = None
    prediction: str | None = None
    score: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    parsed: bool | None = None
    parsed_value: str | None = None
    negative_log_likelihood: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    utf8_bytes: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def is_an_answer_or_a_likelihood(self) -> Self:
        answer = self.prediction is not None and self.score is not None and self.parsed is not None
        likelihood = self.negative_log_likelihood is not None and self.utf8_bytes is not None
        if answer == likelihood:
            raise ValueError("needs prediction, score and parsed, or else negativeLogLikelihood and utf8Bytes")
        if answer and not self.parsed and self.score:
            raise ValueError("score: an answer that could not be parsed must score 0")
        return self

    def to_line(self) -> str:
        """This prediction as one line of a .jsonl file, without the line's end."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


def scored_prediction(task: model.Task, example: model.Example, prediction: str) -> ScoredPrediction:
    """A model's answer to an example, scored."""
    scored = scorers.score(task, prediction, example)
    return ScoredPrediction(
        id=example.id,
        task=example.task,
        group=example.group,
        pattern=example.pattern,
        prediction=prediction,
        score=scored.value,
        parsed=scored.parsed,
        parsed_value=scored.parsed_value,
    )


def likelihood_record(example: model.Example, negative_log_likelihood: float, utf8_bytes: int) -> ScoredPrediction:
    """How likely a model found a raw text: its negative log-likelihood in nats, summed over the scored bytes."""
    return ScoredPrediction(
        id=example.id,
        task=example.task,
        group=example.group,
        pattern=example.pattern,
        negative_log_likelihood=negative_log_likelihood,
        utf8_bytes=utf8_bytes,
    )


def read_predictions(path: Path) -> tuple[ScoredPrediction, ...]:
    """All predictions of a file, in its order. PredictionsError names file and line."""
    try:
        return tuple(_parse(path, number, line) for number, line in json_lines.lines(path, path.name))
    except model.SuiteError as error:
        raise PredictionsError(str(error)) from error


def _parse(path: Path, number: int, line: bytes) -> ScoredPrediction:
    try:
        return ScoredPrediction.model_validate_json(line)
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise PredictionsError(f"{path.name}, line {number}: {fault['msg']}; run the evaluation again") from error
