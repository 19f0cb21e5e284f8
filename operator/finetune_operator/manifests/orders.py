"""The order of each step, from the spec that the run is bound to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from finetune_api.comparison import CandidateStatus, ComparisonSpec, Cost
from finetune_api.evaluation import EvaluationSpec, EvaluationStatus
from finetune_api.finetunedmodel import FineTunedModelSpec
from finetune_api.finetunejob import FineTuneJobSpec
from finetune_api.group import Step
from finetune_api.orders import (
    CompareOrder,
    EvaluateOrder,
    EvaluationLocation,
    LeftOut,
    ModelLocation,
    ObjectLocation,
    PrepareEvaluationOrder,
    PrepareTrainingOrder,
    TrainOrder,
)
from finetune_api.planning import GpuClass, Measured
from finetune_api.quantization import Quantization
from finetune_api.sources import BaseModelSource, ClaimPath
from finetune_api.tracking import Tracking
from finetune_operator.lessons import chosen
from finetune_operator.manifests.volumes import (
    ARTIFACTS_MOUNT,
    base_model_location,
    claim_location,
    dataset_location,
    file_location,
    suite_location,
)
from finetune_operator.views import AnyResource, FineTunedModelResource

BASE = "base"
_ADAPTER = f"{Step.TRAIN}/adapter"
"""Where a training leaves its adapter, in its run's folder."""


def run_folder(resource: AnyResource, run: str) -> str:
    """Folder of a run on the artifacts volume, relative to its root."""
    return f"{resource.key.namespace}/{resource.uid}/{run}"


def mounted(folder: str) -> str:
    return f"{ARTIFACTS_MOUNT}/{folder}"


def prepare_training(
    spec: FineTuneJobSpec,
    folder: str,
    dataset_object: ObjectLocation | None,
    gpu_classes: tuple[GpuClass, ...],
    lessons: Iterable[FineTunedModelResource],
) -> PrepareTrainingOrder:
    """The GPUs and what was learnt are those of the moment: a Job is made once."""
    decisions = spec.dataset.decisions
    return PrepareTrainingOrder(
        directory=mounted(folder),
        base_model=base_model_location(spec.base_model, "spec.baseModel"),
        dataset=dataset_location(spec.dataset, "spec.dataset", mounted(folder)),
        dataset_object=dataset_object,
        validation_fraction=str(spec.dataset.validation_fraction),
        quality=spec.dataset.quality,
        decisions=file_location(decisions, "spec.dataset.decisions") if decisions is not None else None,
        method=spec.method,
        quantization=spec.quantization,
        lora=spec.lora,
        training=spec.training,
        gpus=spec.resources.gpus,
        nodes=spec.resources.nodes,
        memory=spec.resources.memory,
        guard=spec.guard,
        gpu_classes=gpu_classes if spec.resources.gpus else (),
        measured=tuple(item for model in chosen(lessons, spec.base_model) for item in _measured(model)),
        suite=suite_location(spec.evaluation.suite, "spec.evaluation.suite") if spec.evaluation is not None else None,
    )


def _measured(model: FineTunedModelResource) -> Iterator[Measured]:
    """GPU Feature Discovery writes a GPU's name without blanks: so both are named alike."""
    took, parameters = model.status.training, model.spec.parameters
    if took is None:
        return
    yield Measured(
        base_model_digest=model.spec.base_model.digest,
        gpu_product=took.gpu_product.replace(" ", "-") if took.gpu_product is not None else None,
        gpus=parameters.gpus,
        method=parameters.method,
        quantization=parameters.quantization,
        activation_checkpointing=parameters.activation_checkpointing,
        packing=parameters.training.packing,
        precision=parameters.precision,
        dora=parameters.lora.dora,
        tokens_per_second=took.tokens_per_second,
        mean_watts=took.mean_watts,
        peak_memory_bytes=took.peak_memory_bytes,
        planned_peak_bytes=took.planned_peak_bytes,
        correction=parameters.memory_correction,
    )


def train(spec: FineTuneJobSpec, folder: str, tracking: Tracking | None) -> TrainOrder:
    """`tracking` is the spec's, with the address that its server is reached by."""
    return TrainOrder(
        directory=mounted(folder),
        base_model=base_model_location(spec.base_model, "spec.baseModel"),
        lora=spec.lora,
        training=spec.training,
        gpus=spec.resources.gpus,
        nodes=spec.resources.nodes,
        deadline_seconds=spec.deadline_seconds,
        guard=spec.guard,
        tracking=tracking,
        export=spec.export,
    )


def base_model(source: BaseModelSource, quantization: Quantization | None, field: str, shots: int = 0) -> ModelLocation:
    return ModelLocation(
        name=BASE,
        base_model=base_model_location(source, field),
        quantization=quantization or Quantization.NONE,
        shots=shots,
    )


def fine_tuned_model(
    model: FineTunedModelSpec, name: str, quantization: Quantization | None = None, shots: int = 0
) -> ModelLocation:
    """A base model with its adapter, both bound to the digests that the registry entry keeps."""
    return ModelLocation(
        name=name,
        base_model=base_model_location(model.base_model.source, "spec.baseModel.source"),
        base_model_digest=model.base_model.digest,
        adapter=claim_location(model.adapter.persistent_volume_claim, "spec.adapter.persistentVolumeClaim"),
        adapter_digest=model.adapter.digest,
        quantization=quantization or model.parameters.quantization,
        shots=shots,
    )


def model_under_test(spec: EvaluationSpec, model: FineTunedModelSpec | None) -> ModelLocation:
    if model is not None:
        name = spec.model.fine_tuned_model or BASE
        return fine_tuned_model(model, name, spec.model.quantization, spec.model.shots)
    assert spec.model.base_model is not None, "the schema demands a model"
    return base_model(spec.model.base_model, spec.model.quantization, "spec.model.baseModel", spec.model.shots)


def prepare_evaluation(spec: EvaluationSpec, model: FineTunedModelSpec | None, folder: str) -> PrepareEvaluationOrder:
    return PrepareEvaluationOrder(
        directory=mounted(folder),
        models=(model_under_test(spec, model),),
        suite=suite_location(spec.suite, "spec.suite"),
        decoding=spec.decoding,
        expected_digest=spec.digest,
    )


def evaluate(spec: EvaluationSpec, model: FineTunedModelSpec | None, digest: str, folder: str) -> EvaluateOrder:
    return EvaluateOrder(
        directory=mounted(folder),
        model=model_under_test(spec, model),
        suite=suite_location(spec.suite, "spec.suite"),
        decoding=spec.decoding,
        digest=digest,
        gpus=spec.resources.gpus,
    )


def prepare_comparison(
    spec: ComparisonSpec, baseline: BaseModelSource, models: Mapping[str, FineTunedModelSpec], folder: str
) -> PrepareEvaluationOrder:
    """`models` are the candidates', by their FineTuneJob. The baseline is scored in the first one's form."""
    candidates = tuple(fine_tuned_model(model, name) for name, model in models.items())
    shots = spec.baseline.shots if spec.baseline is not None else 0
    return PrepareEvaluationOrder(
        directory=mounted(folder),
        models=(base_model(baseline, candidates[0].quantization, "spec.baseline.baseModel", shots), *candidates),
        suite=suite_location(spec.suite, "spec.suite"),
        decoding=spec.decoding,
        gate=spec.gate,
    )


def compare(
    name: str,
    spec: ComparisonSpec,
    candidate: CandidateStatus,
    baseline: EvaluationStatus,
    tuned: EvaluationStatus,
    rivals: Mapping[str, EvaluationStatus],
    cost: Cost | None,
    earlier_looks: int | None,
    training: ClaimPath | None,
    folder: str,
    *,
    left_out: Sequence[CandidateStatus] = (),
    replicates: bool = False,
) -> CompareOrder:
    return CompareOrder(
        directory=mounted(folder),
        comparison=name,
        suite=suite_location(spec.suite, "spec.suite"),
        baseline=_evaluation(BASE, baseline),
        candidate=_evaluation(candidate.fine_tune_job, tuned),
        contaminated=candidate.contaminated,
        rivals=tuple(_evaluation(name, status) for name, status in rivals.items()),
        training=claim_location(training, "spec.adapter.persistentVolumeClaim") if training is not None else None,
        left_out=tuple(LeftOut(name=item.fine_tune_job, why=item.left_out or "") for item in left_out),
        replicates=replicates,
        gate=spec.gate,
        cost=cost,
        earlier_looks=earlier_looks,
    )


def training_folder(model: FineTunedModelSpec) -> ClaimPath | None:
    """Folder of the run that the adapter comes from; None where it lies elsewhere than trainings leave it."""
    adapter = model.adapter.persistent_volume_claim
    folder = adapter.path.removesuffix(f"/{_ADAPTER}")
    return ClaimPath(claim_name=adapter.claim_name, path=folder) if folder != adapter.path else None


def _evaluation(name: str, status: EvaluationStatus) -> EvaluationLocation:
    assert status.predictions is not None and status.digest is not None, "a succeeded Evaluation has both"
    return EvaluationLocation(
        name=name,
        location=claim_location(status.predictions, "status.predictions"),
        digest=status.digest,
    )
