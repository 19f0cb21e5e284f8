"""The order: the one JSON document that tells a pod what to do. It travels in the pod's environment."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, TypeAdapter

from finetune_api.comparison import Cost, Gate
from finetune_api.evaluation import MOST_SHOTS, Decoding
from finetune_api.fields import WireModel
from finetune_api.finetunejob import Export, Lora, Training
from finetune_api.guard import Guard
from finetune_api.planning import GpuClass, Measured
from finetune_api.quality import DatasetQuality
from finetune_api.quantization import Method, Quantization
from finetune_api.sources import SuiteSplit
from finetune_api.tracking import Tracking

ORDER_VARIABLE = "FINETUNE_ORDER"
"""Name of the environment variable that holds the order."""
POD_UID_VARIABLE = "FINETUNE_POD_UID"
"""Names the pod, so that what it leaves behind tells whose it is."""
COMPUTE_VARIABLE = "FINETUNE_COMPUTE"
"""`cpu` lets a pod that asked for GPUs compute on the CPU. Only test devices set it."""
GPU_SHARED_VARIABLE = "FINETUNE_GPU_SHARED"
"""`true` says that others compute on the pod's GPUs too (time slicing): their energy is not the training's alone."""
S3_ACCESS_KEY_VARIABLE = "AWS_ACCESS_KEY_ID"
S3_SECRET_KEY_VARIABLE = "AWS_SECRET_ACCESS_KEY"
COMPLETE_MARKER = "COMPLETE"
"""File that says that a step's folder is whole. It is written last."""
RESULT_FILE = "result.json"
ORDER_VERSION = 1
NODES_VARIABLE = "FINETUNE_NODES"
"""Number of pods that train together, where it is more than one. The two below are set with it."""
NODE_RANK_VARIABLE = "FINETUNE_NODE_RANK"
"""Number of this pod among them, from 0. The pod with 0 speaks for all: its progress and its result count."""
RENDEZVOUS_VARIABLE = "FINETUNE_RENDEZVOUS"
"""host:port where they find each other: a port of the pod with rank 0."""


class Location(WireModel):
    """A file or folder in a mounted volume. The path must not lead out of the volume, not by links either."""

    volume: str
    """Where the volume is mounted, absolute."""
    path: str
    """Path inside the volume; `.` is its root."""
    manifest_field: str
    """The field of the manifest to name when something is wrong with it."""


class ObjectLocation(WireModel):
    """An object to download to the Location that goes with it."""

    endpoint: str
    """Address that the storage is reached by."""
    bucket: str
    key: str
    region: str
    secret: str
    """Name of the Secret whose values are in the environment, to name when they are refused."""
    ca_certificate: Location | None = None
    """PEM file; None for the public authorities."""
    manifest_field: str
    """Such as `spec.dataset.s3`."""


class SuiteLocation(WireModel):
    """The suite: one that the image carries, or a mounted folder."""

    builtin: str | None = None
    location: Location | None = None
    split: SuiteSplit = SuiteSplit.HOLDOUT
    limit_per_task: int | None = None


class ModelLocation(WireModel):
    """A base model, with an adapter or without."""

    name: str
    """What the model is called in results: `base`, or the candidate's FineTuneJob."""
    base_model: Location
    base_model_digest: str | None = None
    """Known for an adapter: the digest that its base model must have."""
    adapter: Location | None = None
    adapter_digest: str | None = None
    """The digest that the adapter's files must have."""
    quantization: Quantization = Quantization.NONE
    """The form that is scored: how the base model's weights are kept in memory."""
    shots: Annotated[int, Field(ge=0, le=MOST_SHOTS)] = 0
    """Worked examples of the suite before each question."""


class OrderBase(WireModel):
    version: Literal[1] = 1
    directory: str
    """Folder of this run on the artifacts volume, absolute; each step has its own folder in it."""

    circumstances: ClassVar[frozenset[str]] = frozenset({"directory"})
    """Fields that do not say what is asked for, so an order that differs only in them is the same one."""

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)


class PrepareTrainingOrder(OrderBase):
    """Check dataset and model, split, count, plan; find out whether the training is already done."""

    order: Literal["prepare-training"] = "prepare-training"
    base_model: Location
    dataset: Location
    dataset_object: ObjectLocation | None = None
    """Where the dataset must be downloaded from first."""
    validation_fraction: str
    quality: DatasetQuality = DatasetQuality()
    decisions: Location | None = None
    method: Method
    quantization: Quantization | None = None
    lora: Lora
    training: Training
    gpus: int
    nodes: int = 1
    memory: str | None = None
    """Host memory of a training pod, such as 16Gi."""
    guard: Guard | None = None
    gpu_classes: Annotated[tuple[GpuClass, ...], Field(max_length=32)] = ()
    """GPUs that the cluster has. Empty where none is known: then nothing is said about what fits."""
    measured: Annotated[tuple[Measured, ...], Field(max_length=32)] = ()
    """What finished trainings took, latest first."""
    suite: SuiteLocation | None = None
    """What the model will be evaluated with, where that follows by itself: prepare tells which difference it detects,
    and leaves its examples out of the training. That holds for the run's first preparation, whose suite is remembered
    on the volume: another one, chosen later, is only checked and changes nothing of the training."""

    # Else a plan that was lost from the status would be another one when it is made again, and train anew.
    circumstances: ClassVar[frozenset[str]] = frozenset({"directory", "memory", "gpu_classes", "measured", "suite"})


class TrainOrder(OrderBase):
    """Train as `prepare` planned, from the last complete checkpoint if there is one."""

    order: Literal["train"] = "train"
    base_model: Location
    lora: Lora
    training: Training
    gpus: int
    nodes: int = 1
    deadline_seconds: int | None = None
    """Running time over all attempts, after which it ends with a checkpoint."""
    guard: Guard | None = None
    tracking: Tracking | None = None
    export: Export = Export()


class PrepareEvaluationOrder(OrderBase):
    """Work out what models, suite and decoding contain, as digests; find out whether the evaluation is already done."""

    order: Literal["prepare-evaluation"] = "prepare-evaluation"
    models: Annotated[tuple[ModelLocation, ...], Field(min_length=1, max_length=9)]
    suite: SuiteLocation
    decoding: Decoding
    gate: Gate | None = None
    """Given by a Comparison, so that a gate on a task that the suite does not have is refused before any work."""
    expected_digest: str | None = None


class EvaluateOrder(OrderBase):
    """Ask one model all questions of the suite and score its answers."""

    order: Literal["evaluate"] = "evaluate"
    model: ModelLocation
    suite: SuiteLocation
    decoding: Decoding
    digest: str
    """The evaluation's content digest, as prepare found it."""
    gpus: int


class EvaluationLocation(WireModel):
    """The folder that an `evaluate` step left."""

    name: str
    location: Location
    digest: str


class LeftOut(WireModel):
    """A candidate that was asked for and left no model."""

    name: str
    why: str


class CompareOrder(OrderBase):
    """Pair the answers of baseline and candidate, and say the verdict."""

    order: Literal["compare"] = "compare"
    comparison: str
    """Name of the Comparison, for the report."""
    suite: SuiteLocation
    baseline: EvaluationLocation
    candidate: EvaluationLocation
    contaminated: Annotated[int, Field(ge=0)] = 0
    """Examples of the suite that the candidate has learnt from, as far as that is known."""
    training: Location | None = None
    """Folder of the run that trained the candidate, where it is known: the report shows its curves and its dataset."""
    rivals: Annotated[tuple[EvaluationLocation, ...], Field(max_length=7)] = ()
    """The other candidates: intervals and ranking are joint, and each candidate has a compare step of its own."""
    left_out: tuple[LeftOut, ...] = ()
    """Candidates that are not compared, for the report."""
    replicates: bool = False
    """Whether all candidates are trainings of one recipe that differ in their seed alone."""
    gate: Gate | None = None
    cost: Cost | None = None
    earlier_looks: Annotated[int, Field(ge=0)] | None = None
    """Other Comparisons of the namespace that have succeeded on this very suite; None where that is not known."""

    # How many there are by now changes nothing of what is compared, nor do the training's curves, nor what is left out.
    circumstances: ClassVar[frozenset[str]] = frozenset({"directory", "earlier_looks", "training", "left_out"})


Order = Annotated[
    PrepareTrainingOrder | TrainOrder | PrepareEvaluationOrder | EvaluateOrder | CompareOrder,
    Field(discriminator="order"),
]
_ADAPTER: TypeAdapter[Order] = TypeAdapter(Order)


def parse_order(text: str) -> Order:
    """Raises pydantic.ValidationError where the text is not an order of this version."""
    return _ADAPTER.validate_json(text)
