"""What a plan sees: one resource with everything that bears on it, as one immutable value."""

from dataclasses import dataclass, field

from finetune_operator.settings import Settings
from finetune_operator.views import (
    Children,
    ComparisonResource,
    EvaluationResource,
    FineTunedModelResource,
    FineTuneJobResource,
)


@dataclass(frozen=True)
class ObservedFineTuneJob:
    job: FineTuneJobResource
    settings: Settings
    children: Children = field(default_factory=Children)
    models: tuple[FineTunedModelResource, ...] = ()
    """FineTunedModels that this job, by its uid, left."""
    comparisons: tuple[ComparisonResource, ...] = ()
    """Comparisons with this job as candidate, and the one that bears the name of the follow-up."""
    name_takers: frozenset[str] = frozenset()
    """Names of FineTunedModels and Comparisons that belong to somebody else."""


@dataclass(frozen=True)
class ObservedEvaluation:
    evaluation: EvaluationResource
    settings: Settings
    children: Children = field(default_factory=Children)
    model: FineTunedModelResource | None = None
    """The FineTunedModel that spec.model names."""


@dataclass(frozen=True)
class ObservedComparison:
    comparison: ComparisonResource
    settings: Settings
    children: Children = field(default_factory=Children)
    candidate: FineTuneJobResource | None = None
    """The FineTuneJob that spec.candidates names."""
    models: tuple[FineTunedModelResource, ...] = ()
    """FineTunedModels of this namespace that bear on it."""
    evaluations: tuple[EvaluationResource, ...] = ()
    """Evaluations of this namespace that bear on it: by name or by content digest."""


@dataclass(frozen=True)
class ObservedFineTunedModel:
    model: FineTunedModelResource
    job: FineTuneJobResource | None = None
    """The job that made it, while it is there."""
    comparisons: tuple[ComparisonResource, ...] = ()
    """Comparisons that scored it."""


Observed = ObservedFineTuneJob | ObservedEvaluation | ObservedComparison | ObservedFineTunedModel
