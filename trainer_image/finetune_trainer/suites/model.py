"""What a suite is: tasks, how each is scored, and their examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

OVERALL = "overall"
"""The name under which the weighted mean is reported; no task may have it."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=256, strip_whitespace=True)]
Choice = Annotated[str, StringConstraints(min_length=1, max_length=4096, strip_whitespace=True)]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Tolerance = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class SuiteError(ValueError):
    """A suite that cannot be used as it is; the message names the place and what would be right."""


class SuiteModel(BaseModel):
    """Settings shared by everything read from a suite's files."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class NumberScorer(SuiteModel):
    """Right when the number in the answer lies within a tolerance of the reference."""

    kind: Literal["number"] = "number"
    marker: ShortText | None = Field(default=None, description="The words after which the answer stands, as in 'EPS:'.")
    absolute_tolerance: Tolerance = Decimal(0)
    relative_tolerance: Tolerance = Decimal(0)


class LabelScorer(SuiteModel):
    """Right when the answer names the reference label and no other."""

    kind: Literal["label"] = "label"
    labels: tuple[ShortText, ...] = Field(min_length=2, max_length=64)

    @model_validator(mode="after")
    def labels_differ(self) -> LabelScorer:
        if len({label.casefold() for label in self.labels}) < len(self.labels):
            raise ValueError("labels: two of them are the same word; name each label once")
        return self


class GrowthScorer(SuiteModel):
    """Half for the direction of a change, half for its size in percent."""

    kind: Literal["growth"] = "growth"
    tolerance_points: Tolerance = Field(default=Decimal("0.5"), description="In percentage points.")


class ExactScorer(SuiteModel):
    """Right when the answer is the reference, letter by letter but for what is ignored."""

    kind: Literal["exact"] = "exact"
    marker: ShortText | None = Field(default=None, description="The words after which the answer stands.")
    ignore_case: bool = True
    ignore_punctuation: bool = True


class SpanScorer(SuiteModel):
    """Graded by the words that answer and reference share (F1), as in SQuAD."""

    kind: Literal["span"] = "span"
    marker: ShortText | None = Field(default=None, description="The words after which the answer stands.")


class ChoiceScorer(SuiteModel):
    """Right when the model finds the right choice likelier, for each of its bytes, than every other one."""

    kind: Literal["choice"] = "choice"


class PerplexityScorer(SuiteModel):
    """No answer is scored: the likelihood of raw text is measured, and guards against a model that forgot."""

    kind: Literal["perplexity"] = "perplexity"
    margin_nats_per_byte: float = Field(default=0.03, gt=0, le=10, allow_inf_nan=False)


Scorer = Annotated[
    NumberScorer | LabelScorer | GrowthScorer | ExactScorer | SpanScorer | ChoiceScorer | PerplexityScorer,
    Field(discriminator="kind"),
]


class Task(SuiteModel):
    """One kind of question."""

    name: Name
    title: ShortText
    scorer: Scorer
    weight: float = Field(default=1.0, gt=0, le=1000, allow_inf_nan=False, description="Share in the overall score.")
    max_new_tokens: int = Field(default=64, ge=1, le=4096)
    examples: FileName = Field(description="The .jsonl file of this task, relative to suite.yaml.")

    @model_validator(mode="after")
    def name_is_not_taken(self) -> Task:
        if self.name == OVERALL:
            raise ValueError(f"name: {OVERALL!r} is the name of the weighted mean; choose another")
        return self

    @property
    def is_scored(self) -> bool:
        """Whether its answers count in the overall score."""
        return not isinstance(self.scorer, PerplexityScorer)


class Suite(SuiteModel):
    """A named, versioned set of tasks."""

    name: Name
    version: ShortText
    title: ShortText
    margin: float = Field(default=0.03, gt=0, lt=1, description="The largest difference in score that nobody minds.")
    search_fraction: float = Field(
        default=0.2, ge=0, lt=1, description="Share of the groups kept apart to choose by: prompts, shots, parameters."
    )
    shots: FileName | None = Field(
        default=None, description="The .jsonl file of worked examples; without one they are of the search groups."
    )
    tasks: tuple[Task, ...] = Field(min_length=1, max_length=12)

    @model_validator(mode="after")
    def tasks_are_usable(self) -> Suite:
        names = [task.name for task in self.tasks]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"tasks: {', '.join(repeated)} is there more than once; give each task its own name")
        if not self.scored_tasks:
            raise ValueError("tasks: perplexity alone has no score; add one with another scorer")
        return self

    @property
    def scored_tasks(self) -> tuple[Task, ...]:
        """The tasks that make up the overall score."""
        return tuple(task for task in self.tasks if task.is_scored)

    def task(self, name: str) -> Task:
        """The task of that name."""
        for task in self.tasks:
            if task.name == name:
                return task
        known = ", ".join(task.name for task in self.tasks)
        raise SuiteError(f"suite {self.name} has no task {name!r}; it has {known}")


class Message(SuiteModel):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, StringConstraints(min_length=1)]


class Example(SuiteModel):
    """One question with its reference, or one raw text of a perplexity task."""

    id: ShortText
    task: Name
    group: ShortText = Field(description="What examples have in common that makes them alike, such as the company.")
    pattern: ShortText | None = Field(default=None, description="The sentence pattern, where patterns repeat.")
    messages: tuple[Message, ...] | None = Field(default=None, min_length=1, max_length=64)
    prompt: Annotated[str, StringConstraints(min_length=1)] | None = None
    reference: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None
    choices: tuple[Choice, ...] | None = Field(default=None, min_length=2, max_length=26)
    answer: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = Field(
        default=None,
        description="Of a worked example: how its answer is written, where that is not the reference.",
    )
    text: Annotated[str, StringConstraints(min_length=1)] | None = None

    @model_validator(mode="after")
    def choices_differ(self) -> Example:
        if self.choices is not None and len(set(self.choices)) < len(self.choices):
            raise ValueError("choices: two of them are the same; give each once")
        return self

    @model_validator(mode="after")
    def has_one_body(self) -> Example:
        bodies = [name for name in ("messages", "prompt", "text") if getattr(self, name) is not None]
        if len(bodies) != 1:
            found = " and ".join(bodies) or "none"
            raise ValueError(f"exactly one of messages, prompt and text is needed; found {found}")
        return self


@dataclass(frozen=True)
class LoadedSuite:
    """A suite with its examples by task, each task's in the order of their ids."""

    suite: Suite
    examples: Mapping[str, tuple[Example, ...]]
    shots: tuple[Example, ...] = ()
    """Worked examples of the suite's own, of all tasks, in the order of their file."""
