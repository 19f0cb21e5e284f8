"""Evaluation: one model, a base or a base with an adapter, scored on one suite."""

from typing import Annotated

from pydantic import Field

from finetune_api.conditions import Conditions, EvaluationPhase, list_map
from finetune_api.fields import (
    ApiModel,
    ContentDigest,
    Count,
    Digest,
    ObjectName,
    ObservedGeneration,
    ReportedDecimal,
    exactly_one_of,
    validations,
)
from finetune_api.quantization import Quantization
from finetune_api.runs import Attempts, History, Progress, QueuePosition, Run
from finetune_api.sources import Artifacts, BaseModelSource, ClaimPath, SuiteSource
from finetune_api.workload import ImagePullSecrets, PriorityClassName, QueueName, Resources, Retry, TimeToLive

MOST_SHOTS = 8


class ModelUnderTest(ApiModel):
    """The model that answers."""

    model_config = {"json_schema_extra": validations(exactly_one_of("baseModel", "fineTunedModel"))}

    base_model: BaseModelSource | None = None
    """A base model as it is."""
    fine_tuned_model: ObjectName | None = None
    """Name of a FineTunedModel of this namespace: its base model with its adapter."""
    quantization: Quantization | None = None
    """How the base model's weights are kept in memory; when it is left out, as they were in training,
    and none for a base model."""
    shots: Annotated[int, Field(ge=0, le=MOST_SHOTS)] = 0
    """Worked examples of the suite that are put before each question."""


class Decoding(ApiModel):
    """How answers are generated: always greedily, so that the same question gives the same answer."""

    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 64
    """Longest answer in tokens; a task of the suite may ask for shorter ones."""


class EvaluationSpec(ApiModel):
    """Which model is asked which questions."""

    model: ModelUnderTest
    """The model that answers."""
    suite: SuiteSource
    """The questions and how the answers are scored."""
    decoding: Decoding = Decoding()
    """How answers are generated."""
    digest: ContentDigest | None = None
    """The content digest that model, suite and decoding must have; a run on other content fails (ContentChanged).
    The operator sets it on the Evaluations that it makes."""
    resources: Resources = Resources()
    """What the evaluating pod may take."""
    artifacts: Artifacts | None = None
    """Where the predictions are kept."""
    priority_class_name: PriorityClassName = None
    """PriorityClass of the pods. It acts on the next pod."""
    queue_name: QueueName = None
    """Kueue's LocalQueue that the GPU Jobs wait in; without it they go to the scheduler at once. It acts on the next
    Job."""
    image_pull_secrets: ImagePullSecrets = ()
    """Secrets of this namespace to pull the trainer image with."""
    retry: Retry = Retry()
    """What is done about failures of the infrastructure. It acts at once."""
    ttl_seconds_after_finished: TimeToLive = None
    """How long ended Jobs, their pods and logs are kept once all is over; for ever when it is left out. The resource
    and what was made stay. It acts at once."""
    suspend: bool = False
    """true stops the work; false goes on. It acts at once."""


class TaskScore(ApiModel):
    """How one model did at one task."""

    name: Annotated[str, Field(max_length=63)]
    """Name of the task."""
    n: Count
    """Examples that were scored."""
    score: ReportedDecimal
    """Mean score, 0 to 1; for perplexity, nats per UTF-8 byte (lower is better)."""
    parse_failures: Count = 0
    """Answers that could not be read; they count as wrong."""


class NoiseFloor(ApiModel):
    """How many answers change when only the batch size does: a tenth of each scored task's examples is asked again in
    smaller batches, where the number format rounds otherwise."""

    examples: Count
    """Examples that were asked again."""
    changed_answers: Count
    """Those whose answer was another one."""
    changed_scores: Count
    """Those whose answer had another score."""


TaskScores = Annotated[tuple[TaskScore, ...], Field(max_length=16, json_schema_extra=list_map("name"))]


class EvaluationStatus(ApiModel):
    """What is going on, and what came of it."""

    observed_generation: ObservedGeneration = -1
    """The metadata.generation that this status was worked out for; -1 before the operator saw the resource."""
    phase: EvaluationPhase | None = None
    """The state in a word."""
    conditions: Conditions = ()
    """The state by aspect."""
    run: Run | None = None
    """The current or last run."""
    progress: Progress | None = None
    """How far the running step is."""
    digest: Digest | None = None
    """sha256 of what was evaluated: model, adapter, suite, decoding, scorers. The same one is computed once."""
    score: ReportedDecimal | None = None
    """Overall score: the suite's weighted mean over its tasks, 0 to 1."""
    tasks: TaskScores = ()
    """Scores by task."""
    seconds: ReportedDecimal | None = None
    """How long the scoring took."""
    noise: NoiseFloor | None = None
    """How many answers change with the batch size; absent in float32 without quantization, where none does."""
    predictions: ClaimPath | None = None
    """Folder on the artifacts volume with the answers, one JSON object a line."""
    failures: Count = 0
    """Failures of this run that were counted against retry.limit."""
    attempts: Attempts = ()
    """The latest attempts of this run, oldest first."""
    queue: QueuePosition | None = None
    """How many wait in front; absent once it runs, and for those far behind. `finetune status` tells it for all."""
    history: History = ()
    """Earlier runs, latest first."""


class Evaluation(ApiModel):
    """One model, a base or a base with an adapter, scored on one suite."""

    spec: EvaluationSpec
    """What is wanted."""
    status: EvaluationStatus = EvaluationStatus()
    """What is."""
