"""Results as the trainer leaves them, and resources at the moments of their life that tests begin from."""

from __future__ import annotations

from typing import Any

from finetune_api.comparison import (
    CandidateStatus,
    Effect,
    GateName,
    GateOutcome,
    ParseFailures,
    PerplexityEffect,
    TaskEffect,
)
from finetune_api.evaluation import TaskScore
from finetune_api.finetunejob import DatasetSummary, TrainingSummary
from finetune_api.group import Kind, Step
from finetune_api.planning import TrainingPlan
from finetune_api.quantization import Method, Precision, Quantization
from finetune_api.results import (
    CompareResult,
    EvaluateResult,
    ModelDigest,
    PrepareEvaluationResult,
    PrepareTrainingResult,
    TrainResult,
)
from finetune_api.verdicts import Verdict, VerdictReason
from finetune_operator.digests import model_name

from .building import (
    DIGEST,
    OTHER_DIGEST,
    Raw,
    fine_tuned_model,
    job_of,
    moment,
    newer,
    run_of,
    running,
    starting,
    uid_of,
    with_result,
)
from .deciding import decide, told

SUITE_DIGEST = "sha256:" + "50" * 32
TRAINED = TrainResult(
    training=TrainingSummary(
        steps=120,
        final_loss="0.41",
        hours="0.5",
        energy_note="not measured: no GPU",
        tokens_per_second="900",
        peak_memory_bytes=2**30,
        adapter_digest=DIGEST,
    ),
    adapter_path="train/adapter",
    finished_at=moment(-61),
)


def prepared(trained: TrainResult | None = None) -> PrepareTrainingResult:
    return PrepareTrainingResult(
        dataset=DatasetSummary(
            digest=DIGEST,
            train=90,
            validation=10,
            train_tokens=9000,
            trainable_tokens=1000,
            longest=200,
            truncated=0,
        ),
        plan=TrainingPlan(
            method=Method.LORA,
            quantization=Quantization.NONE,
            precision=Precision.FLOAT32,
            micro_batch_size=2,
            gradient_accumulation=8,
            steps=120,
            steps_per_epoch=40,
        ),
        base_model_digest=DIGEST,
        trained=trained,
    )


def evaluated(digest: str = DIGEST, score: str = "0.5") -> EvaluateResult:
    task = TaskScore(name="eps-extraction", n=200, score=score)
    return EvaluateResult(digest=digest, score=score, tasks=(task,), seconds="61.5")


def resolved(*digests: tuple[str, str], done: EvaluateResult | None = None) -> PrepareEvaluationResult:
    named = tuple(ModelDigest(name=name, digest=digest) for name, digest in digests or (("base", DIGEST),))
    return PrepareEvaluationResult(
        digests=named, minimum_detectable_effect="0.05", suite_digest=SUITE_DIGEST, evaluated=done
    )


def effect(**fields: Any) -> dict[str, Any]:
    return {
        "n": 200,
        "groups": 40,
        "base": "0.40",
        "tuned": "0.60",
        "delta": "+0.20",
        "lower": "0.15",
        "upper": "0.25",
        "p": "0.001",
        "verdict": Verdict.IMPROVED,
        "reason": VerdictReason.INTERVAL_ABOVE_ZERO,
        **fields,
    }


def guardrail(**figures: str | None) -> PerplexityEffect:
    told = {"base": "0.80", "tuned": "0.81", "delta": "+0.01", "lower": "-0.01", "upper": "+0.03"}
    return PerplexityEffect.model_validate({"documents": 80, **told, **figures})


def compared(
    candidate: str = "tuned",
    *,
    passed: bool = True,
    perplexity: PerplexityEffect | None = None,
    bound: str | None = "37.5",
    limit: str = "10",
    **overall: Any,
) -> CompareResult:
    task = TaskEffect(
        **effect(),
        name="eps-extraction",
        title="EPS extraction",
        p_holm="0.001",
        parse_failures=ParseFailures(base=1, tuned=0),
        became_parsable="0.01",
        became_right="0.19",
    )
    gate = GateOutcome(gate=GateName.MIN_IMPROVEMENT, passed=passed, bound=bound, limit=limit)
    status = CandidateStatus(
        fine_tune_job=candidate,
        verdict=Verdict.IMPROVED,
        overall=Effect(**effect(**overall)),
        tasks=(task,),
        perplexity=perplexity,
        gates=(gate,),
    )
    return CompareResult(candidate=status, report_path="compare/report.html")


# A FineTuneJob's life


def prepare_done(job: Raw, attempt: int = 1, trained: TrainResult | None = None) -> tuple[Raw, Raw]:
    """The Job of prepare, and its pod with the result."""
    step = job_of(job, Step.PREPARE, attempt, ended="Complete")
    return step, with_result(step, prepared(trained))


def train_done(job: Raw, attempt: int = 1) -> tuple[Raw, Raw]:
    step = job_of(job, Step.TRAIN, attempt, ended="Complete")
    return step, with_result(step, TRAINED)


def queued(job: Raw) -> tuple[Raw, ...]:
    """prepare is done, and the training's pod is on its way."""
    train = job_of(job, Step.TRAIN)
    children = (*prepare_done(job), train, starting(train))
    return (told(told(job), *children), *children)


def training(job: Raw) -> tuple[Raw, ...]:
    """The training's pod works."""
    there, *prepare, train, _ = queued(job)
    children = (*prepare, train, running(train))
    return (told(there, *children), *children)


def model_of(job: Raw, **metadata: Any) -> Raw:
    """The FineTunedModel that the job's run leaves."""
    run = run_of(job)
    name = model_name(job["metadata"]["name"], uid_of(job), run)
    return fine_tuned_model(job, name, run=run, metadata=metadata)


def succeeded(job: Raw) -> tuple[Raw, ...]:
    """The job has succeeded, its model is registered, and its children are still there."""
    there, *_ = training(job)
    children = (*prepare_done(job), *train_done(job))
    model = model_of(job)
    return (told(there, *children, model), *children, model)


# An Evaluation's life


def evaluation_succeeded(evaluation: Raw, digest: str = DIGEST) -> Raw:
    """It has succeeded, and its children are gone."""
    prepare = job_of(evaluation, Step.PREPARE, ended="Complete")
    evaluate = job_of(evaluation, Step.EVALUATE, ended="Complete")
    children = (prepare, with_result(prepare, resolved(("base", digest))))
    there = told(told(evaluation), *children)
    return told(there, *children, evaluate, with_result(evaluate, evaluated(digest)))


# A Comparison's life


def comparison_prepared(comparison: Raw, *, attempt: int = 1) -> tuple[Raw, Raw]:
    """Its prepare is done: the Job, and its pod with the digests of both sides."""
    step = job_of(comparison, Step.PREPARE, attempt, ended="Complete")
    candidate = comparison["spec"]["candidates"][0]["fineTuneJob"]
    return step, with_result(step, resolved(("base", DIGEST), (candidate, OTHER_DIGEST)))


def evaluations_of(comparison: Raw, *others: Raw) -> list[Raw]:
    """The Evaluations that the operator makes for a Comparison, as the API server has them afterwards."""
    return [as_served(manifest) for manifest in decide(comparison, *others).made(Kind.EVALUATION)]


def as_served(manifest: Raw) -> Raw:
    """An object that was POSTed."""
    metadata = manifest["metadata"]
    made = newer({**manifest, "metadata": {**metadata, "resourceVersion": "0"}, "status": {"observedGeneration": -1}})
    made["metadata"] |= {
        "uid": f"uid-of-{manifest['kind'].lower()}-{metadata['name']}",
        "generation": 1,
        "creationTimestamp": moment(),
    }
    return made
