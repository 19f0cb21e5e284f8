"""What a plan sees: one resource with everything that bears on it, as one immutable value."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from finetune_api.planning import GpuClass
from finetune_api.runs import QueuePosition
from finetune_operator.settings import Settings
from finetune_operator.views import (
    Children,
    ComparisonResource,
    EvaluationResource,
    FineTunedModelResource,
    FineTuneJobResource,
    NodeView,
)


@dataclass(frozen=True)
class ObservedFineTuneJob:
    job: FineTuneJobResource
    settings: Settings
    children: Children = field(default_factory=Children)
    models: tuple[FineTunedModelResource, ...] = ()
    """FineTunedModels that bear the name of what a run of this job leaves, whosever they are."""
    comparisons: tuple[ComparisonResource, ...] = ()
    """Comparisons with this job as candidate, and those that bear the name of a follow-up, whosever they are."""
    gpu_classes: tuple[GpuClass, ...] = ()
    """GPUs of the nodes that spec.resources.nodeSelector allows."""
    gpu_nodes: Mapping[str, NodeView] = field(default_factory=dict)
    """Nodes that its pods run on, by name, where their GPUs are known."""
    replicates: tuple[FineTuneJobResource, ...] = ()
    """FineTuneJobs that were made for the seeds of this one, of any run."""
    lessons: tuple[FineTunedModelResource, ...] = ()
    """What finished trainings of this namespace left, latest first."""
    place: QueuePosition | None = None
    """Where it stands in the queue for GPUs, while it is among the first."""


@dataclass(frozen=True)
class ObservedEvaluation:
    evaluation: EvaluationResource
    settings: Settings
    children: Children = field(default_factory=Children)
    model: FineTunedModelResource | None = None
    """The FineTunedModel that spec.model names."""
    place: QueuePosition | None = None
    """Where it stands in the queue for GPUs, while it is among the first."""


@dataclass(frozen=True)
class ObservedComparison:
    comparison: ComparisonResource
    settings: Settings
    children: Children = field(default_factory=Children)
    jobs: tuple[FineTuneJobResource, ...] = ()
    """The FineTuneJobs that the spec, or the run that is going on, names."""
    models: tuple[FineTunedModelResource, ...] = ()
    """The FineTunedModels that these jobs left last, and the one that is compared."""
    evaluations: tuple[EvaluationResource, ...] = ()
    """Evaluations of this namespace: any of them may have the content that is needed."""
    comparisons: tuple[ComparisonResource, ...] = ()
    """Comparisons of this namespace, this one among them: any of them may have looked at the same suite."""


@dataclass(frozen=True)
class ObservedFineTunedModel:
    model: FineTunedModelResource
    job: FineTuneJobResource | None = None
    """The job that made it, while it is there."""
    comparisons: tuple[ComparisonResource, ...] = ()
    """Comparisons that scored it."""


Observed = ObservedFineTuneJob | ObservedEvaluation | ObservedComparison | ObservedFineTunedModel
