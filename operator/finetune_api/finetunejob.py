"""FineTuneJob: one fine-tuning of one base model on one dataset."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from finetune_api.conditions import Conditions, FineTuneJobPhase, list_map
from finetune_api.fields import (
    ApiModel,
    Count,
    Digest,
    ObservedGeneration,
    ReportedDecimal,
    Text,
    decimal_string,
    exactly_one_of,
    rule,
    validations,
)
from finetune_api.guard import Guard, GuardReport
from finetune_api.planning import TrainingPlan
from finetune_api.quality import DatasetQuality, QualityReport
from finetune_api.quantization import Attention, Method, Precision, Quantization
from finetune_api.runs import Attempts, History, Placement, Progress, QueuePosition, Run, Summary
from finetune_api.sources import Artifacts, BaseModelSource, ClaimPath, ConfigMapKey, DatasetSource, SuiteSource
from finetune_api.tracking import Tracking
from finetune_api.workload import ImagePullSecrets, PriorityClassName, QueueName, Retry, TimeToLive, TrainingResources


class Overlong(StrEnum):
    TRUNCATE = "Truncate"
    REFUSE = "Refuse"


class DecisionSource(ApiModel):
    """A JSONL file of decisions: {"id": ..., "decision": "accept" | "reject" | "fix", "example": the right one}."""

    model_config = {"json_schema_extra": validations(exactly_one_of("persistentVolumeClaim", "configMap"))}

    persistent_volume_claim: ClaimPath | None = None
    """A file on a volume. It is mounted read-only."""
    config_map: ConfigMapKey | None = None
    """A file in a ConfigMap."""


class Dataset(DatasetSource):
    """The examples to learn from, and how they are split."""

    validation_fraction: decimal_string(minimum="0", maximum="0.5", example="0.1") = "0.1"  # type: ignore[valid-type]
    """Share of the examples that is held out to watch the validation loss; at least one when above 0."""
    quality: DatasetQuality = DatasetQuality()
    """Limits of what is accepted."""
    decisions: DecisionSource | None = None
    """What a person decided about the examples of review.jsonl. It is part of the dataset's digest."""


class Lora(ApiModel):
    """The low-rank adapter."""

    rank: Annotated[int, Field(ge=1, le=512)] = 16
    """Rank of the two matrices that are trained beside each target module."""
    alpha: Annotated[int, Field(ge=1, le=2048)] = 32
    """Scale: the adapter's output is multiplied by alpha / rank."""
    dropout: decimal_string(minimum="0", maximum="0.9", example="0.1") = "0.05"  # type: ignore[valid-type]
    """Share of the adapter's inputs that is dropped at random while training."""
    target_modules: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...],
        Field(min_length=1, max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Names of the linear layers that get an adapter, as the model calls them; all-linear alone stands for all but the
    output layer."""
    rslora: bool = False
    """Rank-stabilized LoRA: the scale is alpha / sqrt(rank), so that a high rank learns as fast as a low one."""
    dora: bool = False
    """Weight-decomposed LoRA: direction and magnitude are learnt apart. Slower, and no better in most trials."""
    lora_plus_ratio: decimal_string(minimum="1", maximum="1024", example="16") | None = None  # type: ignore[valid-type]
    """LoRA+: how much higher the learning rate of the adapter's second matrix (B) is. Left out, both have the same."""


class EarlyStopping(ApiModel):
    """An end before the last epoch, once the validation loss no longer falls. The best checkpoint is kept."""

    patience: Annotated[int, Field(ge=1, le=1000)] = 3
    """Looks at the validation loss, one at each checkpoint, without an improvement before the training ends."""
    min_improvement: decimal_string(minimum="0", maximum="1", example="0.001") = "0"  # type: ignore[valid-type]
    """How much lower the validation loss must be to count as an improvement."""


class Training(ApiModel):
    """How long, how fast and in which portions the model learns."""

    model_config = {
        "json_schema_extra": validations(
            rule(
                "self.packing || !has(self.microBatchSize) || self.effectiveBatchSize % self.microBatchSize == 0",
                "microBatchSize must divide effectiveBatchSize: change one of them, or leave microBatchSize out",
                field="microBatchSize",
            )
        )
    }

    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    """Passes over the training examples."""
    learning_rate: decimal_string(minimum="0", maximum="1", example="2e-4", open_below=True) = "2e-4"  # type: ignore[valid-type]
    """Highest learning rate, after warm-up; it then falls along a cosine."""
    sequence_length: Annotated[int, Field(ge=16, le=1_048_576)] = 2048
    """Longest example in tokens; with packing, the length of a row that is filled with several."""
    overlong: Overlong = Overlong.TRUNCATE
    """What is done about examples that are longer than sequenceLength: Truncate cuts and counts them, Refuse fails."""
    packing: bool = False
    """Fills each row with several examples, which do not see each other: faster where most are short."""
    effective_batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    """Examples a step. How many of them go through the model at once follows from the plan."""
    micro_batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Examples that go through the model at once, when the plan shall not choose; must divide effectiveBatchSize. With
    packing they are rows, and the plan refuses a number that does not divide a GPU's rows of a step."""
    checkpoint_every_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Steps between checkpoints: the most that a crash can cost."""
    activation_checkpointing: bool | None = None
    """Computes activations twice instead of keeping them: less memory, a third slower. Left out, the plan decides."""
    precision: Precision | None = None
    """Number format of the weights that are not quantized. Left out, bfloat16 where the device computes with it."""
    attention: Attention | None = None
    """Kernel of the attention. Left out, sdpa, or eager where the model has no other."""
    early_stopping: EarlyStopping | None = None
    """When given, the training ends once the validation loss no longer falls."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
    """Fixes the order of the examples, the adapter's start and the dropout."""
    seeds: (
        Annotated[
            tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...],
            Field(min_length=2, max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = None
    """When given, seed means nothing: a FineTuneJob is made for each of these seeds, and status.replicates tells how
    they do. It takes five or more to say that a recipe, and not one adapter, is better. spec.suspend is passed on to
    them; other edits that act at once act on replicates that are made afterwards."""


class FollowUpEvaluation(ApiModel):
    """A Comparison with the base model that follows by itself."""

    suite: SuiteSource
    """The questions."""


class Export(ApiModel):
    """What is written beside the adapter."""

    merged: bool = False
    """Also writes the base model with the adapter merged into it, in bfloat16, and how far its logits are off."""


class FineTuneJobSpec(ApiModel):
    """What to fine-tune, on which examples, how, and with which means."""

    model_config = {
        "json_schema_extra": validations(
            rule(
                "!has(self.quantization) || self.quantization == 'none' || self.method != 'lora'",
                "quantization int8 or nf4 needs method qlora or auto: set spec.method to one of them, "
                "or leave spec.quantization out",
                field="quantization",
            ),
            rule(
                "!has(self.quantization) || self.quantization != 'none' || self.method != 'qlora'",
                "method qlora needs quantization int8 or nf4: set spec.quantization to one of them or leave it out",
                field="quantization",
            ),
            rule(
                "!has(self.training.earlyStopping) || double(self.dataset.validationFraction) > 0.0",
                "earlyStopping watches the validation loss: set spec.dataset.validationFraction above 0",
                field="training.earlyStopping",
            ),
            rule(
                "self.resources.nodes == 1 || self.resources.gpus > 0",
                "several nodes need GPUs: set spec.resources.gpus, or spec.resources.nodes: 1",
                field="resources.nodes",
            ),
        )
    }

    base_model: BaseModelSource
    """The model to start from."""
    dataset: Dataset
    """The examples to learn from."""
    artifacts: Artifacts | None = None
    """Where the adapter, the checkpoints and the reports are kept."""
    method: Method = Method.AUTO
    """lora keeps the base model's weights as they are; qlora quantizes them; auto takes the fastest that fits the GPU
    memory that the cluster has."""
    quantization: Quantization | None = None
    """How the base model's weights are kept in memory: none, int8 or nf4. Left out, it is nf4 with method qlora, and
    follows from the plan with method auto."""
    lora: Lora = Lora()
    """The low-rank adapter."""
    training: Training = Training()
    """How long, how fast and in which portions the model learns."""
    resources: TrainingResources = TrainingResources()
    """What the training pods may take."""
    priority_class_name: PriorityClassName = None
    """PriorityClass of the pods. It acts on the next pod."""
    queue_name: QueueName = None
    """Kueue's LocalQueue that the GPU Jobs wait in; without it they go to the scheduler at once. It acts on the next
    Job."""
    image_pull_secrets: ImagePullSecrets = ()
    """Secrets of this namespace to pull the trainer image with."""
    guard: Guard | None = None
    """Limits on the GPUs' power and temperature. It acts on the next pod."""
    tracking: Tracking | None = None
    """Where the training's curves go besides TensorBoard files on the artifacts volume. It acts on the next pod."""
    export: Export = Export()
    """What is written beside the adapter."""
    retry: Retry = Retry()
    """What is done about failures of the infrastructure. It acts at once."""
    ttl_seconds_after_finished: TimeToLive = None
    """How long ended Jobs, their pods and logs are kept once all is over; for ever when it is left out. The resource
    and what was made stay. It acts at once."""
    deadline_seconds: Annotated[int, Field(ge=60, le=31_536_000)] | None = None
    """How long the training may run, over all attempts; what it waits, or is suspended, is not counted. Then it fails,
    its last checkpoint kept. It acts on the next pod; one that fails for it goes on from there once it is raised."""
    evaluation: FollowUpEvaluation | None = None
    """When given, a Comparison with the base model follows by itself, named like the FineTunedModel."""
    suspend: bool = False
    """true stops the work after a checkpoint; false goes on from there. It acts at once."""


class DatasetSummary(ApiModel):
    """What prepare found in the dataset."""

    digest: Digest
    """sha256 of the canonical examples, their split and the settings that it was made with: limits, seed, decisions."""
    train: Count
    """Examples to learn from."""
    validation: Count
    """Examples held out."""
    train_tokens: Count
    """Tokens of the training examples, prompts included."""
    trainable_tokens: Count
    """Tokens that the loss is taken over: the completions."""
    longest: Count
    """Tokens of the longest example, before it is cut."""
    truncated: Count
    """Examples longer than training.sequenceLength, which are cut."""
    quality: QualityReport | None = None
    """What was found in the examples."""
    report: ClaimPath | None = None
    """dataset_report.html on the artifacts volume; dataset_report.json and review.jsonl lie beside it."""


class TrainingSummary(ApiModel):
    """What the training took and reached."""

    steps: Count
    """Optimizer steps that were taken."""
    final_loss: ReportedDecimal
    """Mean training loss of the last logged steps."""
    validation_loss: ReportedDecimal | None = None
    """Loss on the held-out examples at the end; absent when none were held out."""
    validation_loss_before: ReportedDecimal | None = None
    """The same before the first step."""
    perplexity: ReportedDecimal | None = None
    """Perplexity on the held-out examples at the end: e to the power of the loss."""
    perplexity_before: ReportedDecimal | None = None
    """The same before the first step."""
    best_step: Count | None = None
    """The step whose checkpoint was kept, where the validation loss decided."""
    stopped_early: bool = False
    """Whether early stopping ended the training."""
    skipped_steps: Count = 0
    """Steps whose gradient was not finite, and which were left out."""
    rollbacks: Count = 0
    """How often a diverging training went back to a checkpoint."""
    learning_rate_scale: ReportedDecimal | None = None
    """What is left of the learning rate after rollbacks; absent when there were none."""
    hours: ReportedDecimal
    """Running time of the training, over all attempts."""
    energy_kwh: Annotated[ReportedDecimal | None, Field(alias="energyKWh")] = None
    """GPU energy; absent when it was not measured."""
    energy_note: Text | None = None
    """Why there is no energy figure, when there is none."""
    failed_attempts_energy_kwh: Annotated[ReportedDecimal | None, Field(alias="failedAttemptsEnergyKWh")] = None
    """GPU energy of the attempts that failed, which is not part of energyKWh."""
    mean_watts: ReportedDecimal | None = None
    """Mean power of all GPUs together while they trained, without the rests of the guard."""
    gpu_product: Text | None = None
    """The GPU that it ran on, as NVML names it; absent on the CPU."""
    guard: GuardReport | None = None
    """What the limits on power and temperature cost."""
    tokens_per_second: ReportedDecimal
    """Tokens, without padding, a second of training, without the rests of the guard."""
    peak_memory_bytes: Count
    """Most memory in use: the GPU's, or the process's where it computes on the CPU."""
    planned_peak_bytes: Count | None = None
    """What the plan expected of it."""
    adapter_digest: Digest
    """sha256 over the adapter's files."""
    merged_logit_difference: ReportedDecimal | None = None
    """Largest difference between the logits of the merged model and those of base and adapter; absent without merge."""
    merged_logit_limit: ReportedDecimal | None = None
    """What it may be: a quarter of what the adapter changes, and what rounding costs. Above it, no merged model is
    kept."""


class Replicate(ApiModel):
    """One of several trainings that differ in their seed alone."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)]
    """Its seed."""
    fine_tune_job: Annotated[str, Field(max_length=253)]
    """The FineTuneJob that trains it."""
    phase: FineTuneJobPhase | None = None
    """How far it is; absent until it has begun."""
    fine_tuned_model: Annotated[str, Field(max_length=253)] | None = None
    """The registry entry that it left."""
    validation_loss: ReportedDecimal | None = None
    """Its loss on the held-out examples at the end."""


class FineTuneJobStatus(ApiModel):
    """What is going on, and what came of it."""

    observed_generation: ObservedGeneration = -1
    """The metadata.generation that this status was worked out for; -1 before the operator saw the resource."""
    phase: FineTuneJobPhase | None = None
    """The state in a word."""
    conditions: Conditions = ()
    """The state by aspect."""
    run: Run | None = None
    """The current or last run."""
    progress: Progress | None = None
    """How far the running step is."""
    dataset: DatasetSummary | None = None
    """What prepare found in the dataset."""
    plan: TrainingPlan | None = None
    """What prepare decided before a GPU was asked for."""
    base_model_digest: Digest | None = None
    """sha256 over the base model's files."""
    training: TrainingSummary | None = None
    """What the training took and reached."""
    fine_tuned_model: Annotated[str, Field(max_length=253)] | None = None
    """The registry entry that the run left."""
    replicates: Annotated[tuple[Replicate, ...], Field(max_length=8, json_schema_extra=list_map("seed"))] = ()
    """The trainings of spec.training.seeds."""
    comparison: Annotated[str, Field(max_length=253)] | None = None
    """The Comparison that follows by itself."""
    summary: Summary | None = None
    """Its outcome."""
    failures: Count = 0
    """Failures of this run that were counted against retry.limit."""
    attempts: Attempts = ()
    """The latest attempts of this run, oldest first."""
    placement: Placement | None = None
    """Where the training runs, or ran last; absent until it has begun."""
    queue: QueuePosition | None = None
    """How many wait in front; absent once it runs, and for those far behind. `finetune status` tells it for all."""
    failed_attempts_energy_kwh: Annotated[ReportedDecimal | None, Field(alias="failedAttemptsEnergyKWh")] = None
    """GPU energy of the attempts so far, as the last one that failed told it; absent when it was not measured, and once
    the training is done: then training tells it."""
    history: History = ()
    """Earlier runs, latest first."""


class FineTuneJob(ApiModel):
    """One fine-tuning of one base model on one dataset."""

    spec: FineTuneJobSpec
    """What is wanted."""
    status: FineTuneJobStatus = FineTuneJobStatus()
    """What is."""
