"""FineTunedModel: the registry entry that a successful FineTuneJob leaves."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from finetune_api.conditions import list_map
from finetune_api.fields import (
    ApiModel,
    ContentDigest,
    Count,
    Digest,
    ObservedGeneration,
    ReportedDecimal,
    Text,
    Timestamp,
    rule,
    validations,
)
from finetune_api.finetunejob import Lora, Training, TrainingSummary
from finetune_api.quantization import Method, Precision, Quantization
from finetune_api.sources import BaseModelSource, ClaimPath
from finetune_api.verdicts import Verdict

Uid = Annotated[str, Field(min_length=1, max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=253)]


class Origin(ApiModel):
    """The job and run that made the model."""

    name: Name
    """Name of the FineTuneJob."""
    uid: Uid
    """Its uid."""
    run: Digest
    """The run."""


class BaseModelLineage(ApiModel):
    """The model that was started from."""

    source: BaseModelSource
    """Where it lies."""
    digest: ContentDigest
    """sha256 over its files."""


class Adapter(ApiModel):
    """The weights that were learnt."""

    persistent_volume_claim: ClaimPath
    """Folder with adapter_config.json and adapter_model.safetensors, as peft writes them."""
    digest: ContentDigest
    """sha256 over its files."""


class DatasetLineage(ApiModel):
    """The examples that were learnt from."""

    digest: ContentDigest
    """sha256 of the canonical examples and their split."""


class Parameters(ApiModel):
    """How the model was trained, as the plan resolved it."""

    method: Method
    """lora or qlora."""
    quantization: Quantization
    """How the base model's weights were kept."""
    precision: Precision
    """Number format of the weights that were not quantized."""
    lora: Lora
    """The low-rank adapter."""
    training: Training
    """How long, how fast and in which portions it learned."""
    activation_checkpointing: bool = False
    """Whether activations were computed twice instead of being kept."""
    gpus: Count = 1
    """GPUs that trained together, over all nodes; 0 on the CPU."""
    memory_correction: ReportedDecimal | None = None
    """What earlier trainings taught the plan's memory figures, as a factor; absent where they taught nothing."""


class FineTunedModelSpec(ApiModel):
    """Where the model comes from. It never changes."""

    model_config = {
        "json_schema_extra": validations(
            rule("self == oldSelf", "the lineage of a FineTunedModel never changes: delete it and train again")
        )
    }

    fine_tune_job: Origin
    """The job and run that made the model."""
    base_model: BaseModelLineage
    """The model that was started from."""
    adapter: Adapter
    """The weights that were learnt."""
    dataset: DatasetLineage
    """The examples that were learnt from."""
    image: Annotated[str, Field(min_length=1, max_length=512)]
    """Image that trained."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)]
    """Seed of the training."""
    parameters: Parameters
    """How the model was trained."""
    training_date: Timestamp
    """When the training ended."""


class Stage(StrEnum):
    CANDIDATE = "Candidate"


class ModelScore(ApiModel):
    """What a Comparison found."""

    comparison: Name
    """Name of the Comparison."""
    suite: Text
    """The suite."""
    base: ReportedDecimal
    """Overall score of the baseline."""
    tuned: ReportedDecimal
    """Overall score of this model."""
    verdict: Verdict
    """What the evidence allows to be said."""


class FineTunedModelStatus(ApiModel):
    """What is known of the model since."""

    observed_generation: ObservedGeneration = -1
    """The metadata.generation that this status was worked out for; -1 before the operator saw the resource."""
    stage: Stage | None = None
    """How far the model is on its way into use."""
    scores: Annotated[tuple[ModelScore, ...], Field(max_length=20, json_schema_extra=list_map("comparison"))] = ()
    """What Comparisons found, latest first."""
    training: TrainingSummary | None = None
    """What the training took and reached."""


class FineTunedModel(ApiModel):
    """The registry entry that a successful FineTuneJob leaves. It outlives the job."""

    spec: FineTunedModelSpec
    """Where the model comes from."""
    status: FineTunedModelStatus = FineTunedModelStatus()
    """What is known of the model since."""
