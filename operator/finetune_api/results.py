"""What a step ends with: a bounded document in the pod's termination message, and whole on the artifacts volume."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from finetune_api.comparison import CandidateStatus
from finetune_api.conditions import Reason
from finetune_api.evaluation import TaskScore
from finetune_api.fields import WireModel
from finetune_api.finetunejob import DatasetSummary, TrainingPlan, TrainingSummary

TERMINATION_MESSAGE_LIMIT = 4096
"""Bytes that Kubernetes keeps of a termination message."""
ERRORS_IN_STATUS = 5
"""Errors of a dataset that the status shows; the others are only counted there."""


class TrainResult(WireModel):
    """The adapter is written and checked."""

    result: Literal["train"] = "train"
    training: TrainingSummary
    adapter_path: str
    """Folder of the adapter, relative to the run's folder."""
    finished_at: str


class PrepareTrainingResult(WireModel):
    """Dataset and model are sound."""

    result: Literal["prepare-training"] = "prepare-training"
    dataset: DatasetSummary
    plan: TrainingPlan
    base_model_digest: str
    trained: TrainResult | None = None
    """The training's result, when the volume already holds it."""


class EvaluateResult(WireModel):
    """The model answered everything."""

    result: Literal["evaluate"] = "evaluate"
    digest: str
    score: str
    tasks: tuple[TaskScore, ...]
    seconds: str


class ModelDigest(WireModel):
    """What one model's evaluation is named by."""

    name: str
    digest: str


class PrepareEvaluationResult(WireModel):
    """What models, suite and decoding contain."""

    result: Literal["prepare-evaluation"] = "prepare-evaluation"
    digests: tuple[ModelDigest, ...]
    minimum_detectable_effect: str | None = None
    evaluated: EvaluateResult | None = None
    """The evaluation's result, when the volume already holds it."""


class CompareResult(WireModel):
    """The verdict."""

    result: Literal["compare"] = "compare"
    candidate: CandidateStatus
    report_path: str
    """report.html, relative to the run's folder."""


class Failure(WireModel):
    """Why the step did not end well."""

    result: Literal["failure"] = "failure"
    reason: Reason
    message: str
    errors: tuple[str, ...] = ()
    """The first few errors."""
    error_count: int = 0
    """All errors."""


Result = Annotated[
    PrepareTrainingResult | TrainResult | PrepareEvaluationResult | EvaluateResult | CompareResult | Failure,
    Field(discriminator="result"),
]
_ADAPTER: TypeAdapter[Result] = TypeAdapter(Result)


def parse_result(text: str) -> Result:
    """Raises pydantic.ValidationError where the text is not a result."""
    return _ADAPTER.validate_json(text)
