"""Which other resources a resource names, in its spec or its status."""

from collections.abc import Iterator

from finetune_api.group import Kind
from finetune_operator.views import AnyResource, Key


def links(resource: AnyResource) -> frozenset[Key]:
    """Keys of the resources that bear on this one, whether they exist or not."""
    namespace = resource.key.namespace
    return frozenset(Key(kind, namespace, name) for kind, name in _named(resource) if name)


def _named(resource: AnyResource) -> Iterator[tuple[Kind, str | None]]:
    spec, status = resource.spec, resource.status
    match resource.key.kind:
        case Kind.EVALUATION:
            yield Kind.FINE_TUNED_MODEL, spec.model.fine_tuned_model
        case Kind.FINE_TUNED_MODEL:
            yield Kind.FINE_TUNE_JOB, spec.fine_tune_job.name
        case Kind.COMPARISON:
            yield Kind.EVALUATION, status.baseline_evaluation
            yield from ((Kind.FINE_TUNE_JOB, candidate.fine_tune_job) for candidate in spec.candidates)
            for candidate in status.candidates:
                yield Kind.FINE_TUNE_JOB, candidate.fine_tune_job
                yield Kind.FINE_TUNED_MODEL, candidate.fine_tuned_model
                yield Kind.EVALUATION, candidate.evaluation
