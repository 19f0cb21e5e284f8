"""Comparison: a baseline against a candidate on one suite, paired, with intervals and a verdict."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from finetune_api.conditions import ComparisonPhase, Conditions, list_map
from finetune_api.evaluation import MOST_SHOTS, Decoding
from finetune_api.fields import (
    ApiModel,
    Count,
    Digest,
    ObjectName,
    ObservedGeneration,
    ReportedDecimal,
    Text,
    decimal_string,
)
from finetune_api.runs import History, Progress, Run, Summary
from finetune_api.sources import Artifacts, BaseModelSource, ClaimPath, SuiteSource
from finetune_api.verdicts import Verdict, VerdictReason
from finetune_api.workload import ImagePullSecrets, PriorityClassName, QueueName, Resources, Retry, TimeToLive

TaskName = Annotated[str, Field(min_length=1, max_length=63)]


class Candidate(ApiModel):
    """A model that claims to be better."""

    fine_tune_job: ObjectName
    """Name of a FineTuneJob of this namespace. The comparison waits for it."""


class Baseline(ApiModel):
    """The model to compare with."""

    base_model: BaseModelSource | None = None
    """A base model as it is; the candidate's base model when it is left out."""
    shots: Annotated[int, Field(ge=0, le=MOST_SHOTS)] = 0
    """Worked examples of the suite that are put before each question to the baseline, and to it alone: what a
    candidate gains by knowing the format shows no longer."""


class Gate(ApiModel):
    """What must hold for the candidate to be taken further. A gate that is not passed is a result, not a failure."""

    min_improvement_percent: (
        decimal_string(minimum="0", maximum="1000", example="10") | None  # type: ignore[valid-type]
    ) = None
    """Percent by which the overall score must surely be better than the baseline's (points where that is 0)."""
    must_not_regress: (
        Annotated[tuple[TaskName, ...], Field(max_length=12, json_schema_extra={"x-kubernetes-list-type": "set"})]
        | None
    ) = None
    """Tasks that must surely not be worse than the suite's margin; every task when it is left out."""
    max_perplexity_rise: (
        decimal_string(minimum="0", maximum="10", example="0.03") | None  # type: ignore[valid-type]
    ) = None
    """Nats per byte by which the held-out text may surely be predicted worse; the suite's margin when left out."""
    max_parse_failure_percent: (
        decimal_string(minimum="0", maximum="100", example="5") | None  # type: ignore[valid-type]
    ) = None
    """Percent of the candidate's answers, over all scored tasks, that may be unreadable."""
    retention: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Task of general text at which the candidate must surely not be worse than the suite's margin."""


class Costs(ApiModel):
    """What energy and GPUs cost, to tell the training's price."""

    per_kwh: Annotated[
        decimal_string(minimum="0", maximum="1000000", example="0.32") | None,  # type: ignore[valid-type]
        Field(alias="perKWh"),
    ] = None
    """Price of a kilowatt hour."""
    per_gpu_hour: Annotated[
        decimal_string(minimum="0", maximum="1000000", example="1.90") | None,  # type: ignore[valid-type]
        Field(alias="perGPUHour"),
    ] = None
    """Price of an hour of one GPU."""
    currency: Annotated[str, Field(min_length=1, max_length=16)]
    """Currency of both."""


class ComparisonSpec(ApiModel):
    """Which models are compared on which questions."""

    candidates: Annotated[
        tuple[Candidate, ...],
        Field(
            min_length=1,
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["fineTuneJob"]},
        ),
    ]
    """The models that claim to be better."""
    baseline: Baseline | None = None
    """The model to compare with; the candidate's base model when it is left out."""
    suite: SuiteSource
    """The questions and how the answers are scored."""
    decoding: Decoding = Decoding()
    """How answers are generated, by both models."""
    gate: Gate | None = None
    """What must hold for the candidate to be taken further."""
    costs: Costs | None = None
    """What energy and GPUs cost; when given, the status tells what the training cost."""
    resources: Resources = Resources()
    """What each evaluating pod may take."""
    artifacts: Artifacts | None = None
    """Where predictions and reports are kept."""
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


class ParseFailures(ApiModel):
    """Answers that could not be read; they count as wrong."""

    base: Count
    """Of the baseline."""
    tuned: Count
    """Of the candidate."""


class Effect(ApiModel):
    """The difference between candidate and baseline, with its interval and the word for it."""

    n: Count
    """Examples, each answered by both models."""
    groups: Count
    """Independent groups that the examples fall into."""
    base: ReportedDecimal
    """Mean score of the baseline."""
    tuned: ReportedDecimal
    """Mean score of the candidate."""
    delta: ReportedDecimal
    """Difference, with its sign."""
    delta_percent: ReportedDecimal | None = None
    """Difference in percent of the baseline's score; absent when that is 0."""
    lower: ReportedDecimal
    """Lower end of the 95% interval of the difference."""
    upper: ReportedDecimal
    """Upper end of the 95% interval of the difference."""
    p: ReportedDecimal
    """Probability of a difference at least as large if the models were equal."""
    verdict: Verdict
    """What the evidence allows to be said."""
    reason: VerdictReason
    """Why it is this word."""


class TaskEffect(Effect):
    """The difference at one task."""

    name: TaskName
    """Name of the task."""
    title: Text
    """The task as people call it."""
    p_holm: ReportedDecimal
    """The same probability, adjusted for the number of tasks (Holm)."""
    parse_failures: ParseFailures
    """Answers that could not be read."""
    became_parsable: ReportedDecimal
    """Part of the difference that comes from answers that became readable."""
    became_right: ReportedDecimal
    """Part of the difference that comes from readable answers that became right."""


class PerplexityEffect(ApiModel):
    """How well the models predict held-out text: a guardrail, not a score."""

    documents: Count
    """Texts that were scored."""
    base: ReportedDecimal
    """Negative log-likelihood of the baseline, in nats per UTF-8 byte (lower is better)."""
    tuned: ReportedDecimal
    """The same of the candidate."""
    delta: ReportedDecimal
    """Difference, with its sign; above 0 the candidate predicts the text worse."""
    lower: ReportedDecimal | None = None
    """Lower end of the 95% interval of the difference; absent when too few documents leave it unbounded."""
    upper: ReportedDecimal | None = None
    """Upper end of the 95% interval of the difference; absent when too few documents leave it unbounded."""


class GateName(StrEnum):
    MIN_IMPROVEMENT = "minImprovementPercent"
    MUST_NOT_REGRESS = "mustNotRegress"
    MAX_PERPLEXITY_RISE = "maxPerplexityRise"
    MAX_PARSE_FAILURES = "maxParseFailurePercent"
    RETENTION = "retention"


class GateOutcome(ApiModel):
    """Whether one gate was passed, and the bound that decided."""

    gate: GateName
    """Which gate."""
    task: TaskName | None = None
    """Which task, where the gate is about one."""
    passed: bool
    """Whether it was passed."""
    bound: ReportedDecimal | None = None
    """The bound that decided: a lower one, which must be above the limit, or for a maximum the upper one, which must
    not be above it. Absent when too few groups leave it unbounded."""
    limit: ReportedDecimal
    """The limit."""


class Cost(ApiModel):
    """What the candidate's training took."""

    training_hours: ReportedDecimal
    """Running time of the training, over all attempts."""
    energy_kwh: Annotated[ReportedDecimal | None, Field(alias="energyKWh")] = None
    """GPU energy; absent when it was not measured."""
    energy_note: Text | None = None
    """Why there is no energy figure, when there is none."""
    failed_attempts_energy_kwh: Annotated[ReportedDecimal | None, Field(alias="failedAttemptsEnergyKWh")] = None
    """GPU energy of training attempts that failed, which is not part of energyKWh."""
    evaluation_hours: ReportedDecimal | None = None
    """Running time of the evaluations of baseline and candidate."""
    kwh_per_point: Annotated[ReportedDecimal | None, Field(alias="kWhPerPoint")] = None
    """GPU energy of the training for each percentage point gained; absent unless the verdict is Improved."""
    money: ReportedDecimal | None = None
    """Price of the GPU hours and energy of all attempts of the training, in currency; absent without spec.costs."""
    currency: Annotated[str, Field(max_length=16)] | None = None
    """Currency of money."""


class ErrorCause(StrEnum):
    """Why an answer is wrong, in the order of precedence."""

    REFUSAL = "Refusal"
    FORMAT = "Format"
    UNIT_OR_SCALE = "UnitOrScale"
    WRONG_SIGN = "WrongSign"
    WRONG_PERIOD = "WrongPeriod"
    ARITHMETIC = "Arithmetic"
    HALLUCINATED = "Hallucinated"
    UNKNOWN = "Unknown"


class FlipCount(ApiModel):
    """Answers that changed, by the cause of the wrong one."""

    cause: ErrorCause
    """Why the wrong answer is wrong."""
    improved: Count
    """Wrong by the baseline for this cause, and right by the candidate."""
    regressed: Count
    """Right by the baseline, and wrong by the candidate for this cause."""


class Ranking(ApiModel):
    """Where one candidate stands among several."""

    rank: Count
    """Place by overall score, from 1."""
    p_holm: ReportedDecimal
    """The overall test's probability, adjusted for the number of candidates (Holm)."""
    lower: ReportedDecimal
    """Lower end of the simultaneous 95% interval of the overall difference from the baseline (max-t)."""
    upper: ReportedDecimal
    """Upper end."""


class PairwiseEffect(ApiModel):
    """A candidate against another one."""

    candidate: Annotated[str, Field(max_length=253)]
    """The other one."""
    delta: ReportedDecimal
    """This candidate's overall score less the other's."""
    lower: ReportedDecimal
    """Lower end of the simultaneous 95% interval."""
    upper: ReportedDecimal
    """Upper end."""


class CandidateStatus(ApiModel):
    """How one candidate did. Once it is resolved it is pinned to its run."""

    fine_tune_job: Annotated[str, Field(max_length=253)]
    """Name of the FineTuneJob."""
    uid: Annotated[str, Field(max_length=64)] | None = None
    """Its uid, from when it was first seen: a namesake made later is not what was asked about."""
    run: Digest | None = None
    """The job's run that is compared."""
    fine_tuned_model: Annotated[str, Field(max_length=253)] | None = None
    """The model that is compared."""
    evaluation: Annotated[str, Field(max_length=253)] | None = None
    """The Evaluation that scored it."""
    verdict: Verdict | None = None
    """What the evidence allows to be said of the overall score."""
    overall: Effect | None = None
    """The difference of the suite's weighted mean: the one primary test."""
    tasks: Annotated[tuple[TaskEffect, ...], Field(max_length=12, json_schema_extra=list_map("name"))] = ()
    """The difference by task."""
    left_out: Text | None = None
    """Why it was left out: one of several that left no model is, and the others are compared without it."""
    contaminated: Count = 0
    """Examples of the suite that stand in what it has learnt from: the scores of these prove nothing."""
    perplexity: PerplexityEffect | None = None
    """The guardrail on held-out text."""
    gates: Annotated[tuple[GateOutcome, ...], Field(max_length=16)] = ()
    """The gates, each with the bound that decided."""
    flips: Annotated[tuple[FlipCount, ...], Field(max_length=8, json_schema_extra=list_map("cause"))] = ()
    """Answers that changed from wrong to right and back, by cause."""
    ranking: Ranking | None = None
    """Its place among several candidates."""
    versus: Annotated[tuple[PairwiseEffect, ...], Field(max_length=7, json_schema_extra=list_map("candidate"))] = ()
    """The difference from each other candidate."""
    cost: Cost | None = None
    """What its training took."""
    report: ClaimPath | None = None
    """Its report.html on the artifacts volume; report.json lies beside it."""


SEEDS_NEEDED = 5
"""Replicates that it takes to say something of a recipe."""


class Recipe(ApiModel):
    """What replicates, which differ in their seed alone, say of the recipe that they were trained by."""

    seeds: Count
    """Replicates."""
    delta: ReportedDecimal
    """Mean over the seeds of the overall difference from the baseline."""
    lower: ReportedDecimal
    """Lower end of the 95% interval over examples (groups' signs flipped) and seeds (Student t): each end is as far
    from delta as the root of the sum of the squares of both."""
    upper: ReportedDecimal
    """Upper end."""
    spread: ReportedDecimal
    """Standard deviation of the difference between seeds."""
    verdict: Verdict
    """What the evidence allows to be said of the recipe. Fewer than five seeds allow nothing."""
    reason: VerdictReason
    """Why it is this word."""


class ComparisonStatus(ApiModel):
    """What is going on, and what came of it."""

    observed_generation: ObservedGeneration = -1
    """The metadata.generation that this status was worked out for; -1 before the operator saw the resource."""
    phase: ComparisonPhase | None = None
    """The state in a word."""
    conditions: Conditions = ()
    """The state by aspect."""
    run: Run | None = None
    """The current or last run."""
    progress: Progress | None = None
    """How far the running step is."""
    minimum_detectable_effect: ReportedDecimal | None = None
    """Smallest true difference of one task that this suite finds with 80% probability."""
    suite_digest: Digest | None = None
    """sha256 of the suite's questions, as many as were asked: Comparisons that share it looked at the same ones."""
    earlier_looks: Count | None = None
    """Other Comparisons of the namespace that had succeeded on the same questions; absent where that is not known."""
    baseline_evaluation: Annotated[str, Field(max_length=253)] | None = None
    """The Evaluation of the baseline."""
    candidates: Annotated[
        tuple[CandidateStatus, ...], Field(max_length=8, json_schema_extra=list_map("fineTuneJob"))
    ] = ()
    """How each candidate did."""
    recipe: Recipe | None = None
    """What the candidates say together of their recipe, where they are the replicates of one FineTuneJob."""
    summary: Summary | None = None
    """The outcome in a line."""
    report: ClaimPath | None = None
    """report.html of the best candidate on the artifacts volume; report.json lies beside it."""
    report_config_map: Annotated[str, Field(max_length=253)] | None = None
    """ConfigMap with that report as report.html.gz, for whoever may not mount the volume; absent where it is too long
    even without the answers that changed, or was lost with the pod's log."""
    failures: Count = 0
    """Failures of this run that were counted against retry.limit."""
    history: History = ()
    """Earlier runs, latest first."""


class Comparison(ApiModel):
    """A baseline against a candidate on one suite, paired, with intervals and a verdict."""

    spec: ComparisonSpec
    """What is wanted."""
    status: ComparisonStatus = ComparisonStatus()
    """What is."""
