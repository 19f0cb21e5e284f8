"""What a step ends with: a bounded document in the pod's termination message, and whole on the artifacts volume."""

import base64
import hashlib
import zlib
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from finetune_api.comparison import CandidateStatus, Recipe
from finetune_api.conditions import Reason
from finetune_api.evaluation import NoiseFloor, TaskScore
from finetune_api.fields import WireModel
from finetune_api.finetunejob import DatasetSummary, TrainingSummary
from finetune_api.planning import TrainingPlan

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
    merged_path: str | None = None
    """Folder of the merged model, likewise; None where none was asked for, or where it differs too much from base and
    adapter."""
    finished_at: str


class PrepareTrainingResult(WireModel):
    """Dataset and model are sound."""

    result: Literal["prepare-training"] = "prepare-training"
    dataset: DatasetSummary
    plan: TrainingPlan
    base_model_digest: str
    report_path: str | None = None
    """dataset_report.html, relative to the run's folder."""
    trained: TrainResult | None = None
    """The training's result, when the volume already holds it."""


class EvaluateResult(WireModel):
    """The model answered everything."""

    result: Literal["evaluate"] = "evaluate"
    digest: str
    score: str
    tasks: tuple[TaskScore, ...]
    seconds: str
    noise: NoiseFloor | None = None
    """None where answers do not depend on the batch size."""


class ModelDigest(WireModel):
    """What one model's evaluation is named by."""

    name: str
    digest: str
    contaminated: Annotated[int, Field(ge=0)] = 0
    """Examples of the suite that it has learnt from, as far as its training left hashes of what it learnt."""


class PrepareEvaluationResult(WireModel):
    """What models, suite and decoding contain."""

    result: Literal["prepare-evaluation"] = "prepare-evaluation"
    digests: tuple[ModelDigest, ...]
    minimum_detectable_effect: str | None = None
    suite_digest: str | None = None
    """What the suite contains, with as many examples as are asked."""
    evaluated: EvaluateResult | None = None
    """The evaluation's result, when the volume already holds it."""


class CompareResult(WireModel):
    """The verdict."""

    result: Literal["compare"] = "compare"
    candidate: CandidateStatus
    recipe: Recipe | None = None
    """Of all candidates together, where they are replicates."""
    report_path: str
    """report.html, relative to the run's folder."""
    report_digest: str | None = None
    """sha256 of the gzipped report that the pod's log tells; None where none fits in."""


class Failure(WireModel):
    """Why the step did not end well."""

    result: Literal["failure"] = "failure"
    reason: Reason
    message: str
    errors: tuple[str, ...] = ()
    """The first few errors."""
    error_count: int = 0
    """All errors."""
    energy_kwh: Annotated[str | None, Field(max_length=32, alias="energyKWh")] = None
    """GPU energy of all attempts of a training so far; None where none was measured."""
    deadline_seconds: int | None = None
    """The deadline that has passed, where one has: the spec may name a later one by now."""


NAME_LENGTH = 24
"""Characters of a name in a result that would not fit otherwise."""


def cut_name(name: str) -> str:
    """A long name as a result that must be cut tells it: its beginning and a digest. Whoever knows the names finds the
    one that was meant."""
    if len(name) <= NAME_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: NAME_LENGTH - 9]}~{digest}"


Result = Annotated[
    PrepareTrainingResult | TrainResult | PrepareEvaluationResult | EvaluateResult | CompareResult | Failure,
    Field(discriminator="result"),
]
_ADAPTER: TypeAdapter[Result] = TypeAdapter(Result)


class PackedResult(WireModel):
    """A result that is too long for a termination message as it is."""

    result: Literal["packed"] = "packed"
    deflated: str
    """Base64 of the zlib-compressed JSON of the result."""


UNPACKED_LIMIT = 64 * 1024
"""Bytes that a packed result may have when it is unpacked."""


def pack_result(result: Result) -> str:
    """The result as JSON that takes about a quarter of the room."""
    document = result.model_dump_json(by_alias=True, exclude_none=True).encode()
    return PackedResult(deflated=base64.b64encode(zlib.compress(document, 9)).decode()).model_dump_json(by_alias=True)


def parse_result(text: str) -> Result:
    """Plain or packed. Raises ValueError (pydantic.ValidationError is one) where the text is not a result."""
    if not text.startswith('{"result":"packed"'):
        return _ADAPTER.validate_json(text)
    packed = PackedResult.model_validate_json(text)
    try:
        document = zlib.decompressobj().decompress(base64.b64decode(packed.deflated, validate=True), UNPACKED_LIMIT)
    except zlib.error as error:
        raise ValueError(f"a packed result that cannot be unpacked: {error}") from error
    return _ADAPTER.validate_json(document)
