"""The resources of ours that the operator itself makes: FineTunedModels, Evaluations, follow-up Comparisons."""

from typing import Any

from finetune_api.comparison import Candidate, ComparisonSpec
from finetune_api.evaluation import EvaluationSpec, ModelUnderTest
from finetune_api.finetunedmodel import (
    Adapter,
    BaseModelLineage,
    DatasetLineage,
    FineTunedModelSpec,
    Origin,
    Parameters,
)
from finetune_api.finetunejob import DatasetSummary, FineTuneJobSpec
from finetune_api.group import API_VERSION, Kind
from finetune_api.planning import TrainingPlan
from finetune_api.results import TrainResult
from finetune_api.sources import ClaimPath
from finetune_operator.digests import evaluation_name, model_name, replicate_name, report_name
from finetune_operator.manifests.ownership import child_labels, owner_reference
from finetune_operator.views import AnyResource, ComparisonResource, FineTuneJobResource


def fine_tuned_model(
    job: FineTuneJobResource,
    run: str,
    spec: FineTuneJobSpec,
    dataset: DatasetSummary,
    plan: TrainingPlan,
    base_model_digest: str,
    trained: TrainResult,
    adapter: ClaimPath,
    image: str,
) -> dict[str, Any]:
    """The registry entry. It has no ownerReference: it outlives its job."""
    lineage = FineTunedModelSpec(
        fine_tune_job=Origin(name=job.key.name, uid=job.uid, run=run),
        base_model=BaseModelLineage(source=spec.base_model, digest=base_model_digest),
        adapter=Adapter(persistent_volume_claim=adapter, digest=trained.training.adapter_digest),
        dataset=DatasetLineage(digest=dataset.digest),
        image=image,
        seed=spec.training.seed,
        parameters=Parameters(
            method=plan.method,
            quantization=plan.quantization,
            precision=plan.precision,
            lora=spec.lora,
            training=spec.training,
            activation_checkpointing=plan.activation_checkpointing,
            gpus=_gpus_in_all(plan, spec),
            memory_correction=plan.memory.correction if plan.memory is not None else None,
        ),
        training_date=trained.finished_at,
    )
    return _manifest(Kind.FINE_TUNED_MODEL, job, run, model_name(job.key.name, job.uid, run), lineage.to_manifest())


def _gpus_in_all(plan: TrainingPlan, spec: FineTuneJobSpec) -> int:
    """Those that it ran on: resources may have been edited since."""
    if plan.gpus is None or plan.nodes is None:
        return spec.resources.gpus * spec.resources.nodes
    return plan.gpus * plan.nodes


def follow_up_comparison(job: FineTuneJobResource, run: str, spec: FineTuneJobSpec) -> dict[str, Any]:
    """The Comparison with the base model that spec.evaluation asks for: of the job, or of all its replicates."""
    assert spec.evaluation is not None, "only asked for when the spec has an evaluation"
    seeds = spec.training.seeds or ()
    names = [replicate_name(job.key.name, job.uid, run, seed) for seed in seeds] or [job.key.name]
    wanted = ComparisonSpec(
        candidates=tuple(Candidate(fine_tune_job=name) for name in names),
        suite=spec.evaluation.suite,
        resources=spec.resources,
        artifacts=spec.artifacts,
        priority_class_name=spec.priority_class_name,
        queue_name=spec.queue_name,
        image_pull_secrets=spec.image_pull_secrets,
        retry=spec.retry,
        ttl_seconds_after_finished=spec.ttl_seconds_after_finished,
    )
    name = model_name(job.key.name, job.uid, run)
    manifest = _manifest(Kind.COMPARISON, job, run, name, wanted.to_manifest())
    manifest["metadata"]["ownerReferences"] = [owner_reference(job)]
    return manifest


def replicate(job: FineTuneJobResource, run: str, spec: FineTuneJobSpec, seed: int) -> dict[str, Any]:
    """The FineTuneJob that trains one of several seeds. It is evaluated together with the others."""
    training = spec.training.model_copy(update={"seed": seed, "seeds": None})
    wanted = spec.model_copy(update={"training": training, "evaluation": None})
    name = replicate_name(job.key.name, job.uid, run, seed)
    manifest = _manifest(Kind.FINE_TUNE_JOB, job, run, name, wanted.to_manifest())
    manifest["metadata"]["ownerReferences"] = [owner_reference(job)]
    return manifest


def evaluation(
    comparison: ComparisonResource, run: str, spec: ComparisonSpec, model: ModelUnderTest, digest: str
) -> dict[str, Any]:
    """An Evaluation named by its content; whichever Comparison needs the same one shares it."""
    wanted = EvaluationSpec(
        model=model,
        suite=spec.suite,
        decoding=spec.decoding,
        digest=digest,
        resources=spec.resources,
        artifacts=spec.artifacts,
        priority_class_name=spec.priority_class_name,
        queue_name=spec.queue_name,
        image_pull_secrets=spec.image_pull_secrets,
        retry=spec.retry,
        ttl_seconds_after_finished=spec.ttl_seconds_after_finished,
    )
    manifest = _manifest(Kind.EVALUATION, comparison, run, evaluation_name(digest), wanted.to_manifest())
    manifest["metadata"]["ownerReferences"] = [owner_reference(comparison, controller=False)]
    return manifest


def report(comparison: ComparisonResource, run: str) -> dict[str, Any]:
    """The ConfigMap that keeps a report, without the report."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": report_name(comparison.key.name, comparison.uid, run),
            "namespace": comparison.key.namespace,
            "labels": child_labels(comparison, run),
            "ownerReferences": [owner_reference(comparison)],
        },
        "immutable": True,
    }


def _manifest(kind: Kind, maker: AnyResource, run: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": kind.value,
        "metadata": {
            "name": name,
            "namespace": maker.key.namespace,
            "labels": child_labels(maker, run),
        },
        "spec": spec,
    }
