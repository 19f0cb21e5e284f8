"""What bears on a resource, gathered from the cache. No API call."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from finetune_api.conditions import FineTuneJobPhase
from finetune_api.group import Kind
from finetune_api.planning import GpuClass
from finetune_operator.cache import Cache
from finetune_operator.digests import model_name, run_digest
from finetune_operator.gpu_nodes import among_given
from finetune_operator.observed import (
    Observed,
    ObservedComparison,
    ObservedEvaluation,
    ObservedFineTunedModel,
    ObservedFineTuneJob,
)
from finetune_operator.settings import Settings
from finetune_operator.views import (
    AnyResource,
    ComparisonResource,
    EvaluationResource,
    FineTunedModelResource,
    FineTuneJobResource,
    Key,
)


def observe(cache: Cache, key: Key, settings: Settings) -> Observed | None:
    """None when the resource is gone."""
    resource = cache.resource(key)
    if resource is None:
        return None
    match key.kind:
        case Kind.FINE_TUNE_JOB:
            return _fine_tune_job(cache, resource, settings)
        case Kind.EVALUATION:
            return _evaluation(cache, resource, settings)
        case Kind.COMPARISON:
            return _comparison(cache, resource, settings)
        case Kind.FINE_TUNED_MODEL:
            return _fine_tuned_model(cache, resource)


def _all_named(cache: Cache, kind: Kind, beside: AnyResource, names: set[str]) -> tuple[Any, ...]:
    """The resources of these names that there are."""
    found = (cache.resource(Key(kind, beside.key.namespace, name)) for name in sorted(names))
    return tuple(resource for resource in found if resource is not None)


def _named(cache: Cache, kind: Kind, beside: AnyResource, name: str | None) -> Any:
    return cache.resource(Key(kind, beside.key.namespace, name)) if name is not None else None


def _fine_tune_job(cache: Cache, job: FineTuneJobResource, settings: Settings) -> ObservedFineTuneJob:
    names = {model_name(job.key.name, job.uid, run) for run in _runs(job)}
    about = {item.key.name for item in cache.referrers(job.key, Kind.COMPARISON) if _is_about(item, job)}
    replicates: list[FineTuneJobResource] = cache.made_for(job.uid, Kind.FINE_TUNE_JOB)
    children = cache.children(job.uid)
    return ObservedFineTuneJob(
        job=job,
        settings=settings,
        children=replace(children, begun_replicates=_begun(replicates)),
        replicates=tuple(replicates),
        models=_all_named(cache, Kind.FINE_TUNED_MODEL, job, names),
        comparisons=_all_named(cache, Kind.COMPARISON, job, names | about),
        gpu_classes=_gpu_classes(cache, job, settings),
        gpu_nodes=cache.nodes.of({pod.node for child in children.items for pod in child.pods}),
        lessons=cache.lessons.of(job.key.namespace),
        place=cache.estimates.of(job),
    )


_NOTHING_YET = (None, FineTuneJobPhase.PENDING, FineTuneJobPhase.PREPARING, FineTuneJobPhase.QUEUED)


def _begun(replicates: Iterable[FineTuneJobResource]) -> frozenset[str]:
    begun = (job.owned for job in replicates if job.status.phase not in _NOTHING_YET)
    return frozenset(owned.run for owned in begun if owned is not None)


def _gpu_classes(cache: Cache, job: FineTuneJobResource, settings: Settings) -> tuple[GpuClass, ...]:
    """What the administrator says counts more than what the nodes' labels tell."""
    selector = job.spec.resources.node_selector
    return among_given(settings.gpu_classes, selector) if settings.gpu_classes else cache.nodes.classes(selector)


def _runs(job: FineTuneJobResource) -> set[str]:
    """The run that the status tells of, and the one that the spec asks for."""
    current = {job.status.run.digest} if job.status.run is not None else set()
    return current | {run_digest(Kind.FINE_TUNE_JOB, job.spec, job.rerun)}


def _is_about(comparison: ComparisonResource, job: FineTuneJobResource) -> bool:
    return any(candidate.uid == job.uid for candidate in comparison.status.candidates)


def _evaluation(cache: Cache, evaluation: EvaluationResource, settings: Settings) -> ObservedEvaluation:
    return ObservedEvaluation(
        evaluation=evaluation,
        settings=settings,
        children=cache.children(evaluation.uid),
        model=_named(cache, Kind.FINE_TUNED_MODEL, evaluation, evaluation.spec.model.fine_tuned_model),
        place=cache.estimates.of(evaluation),
    )


def _comparison(cache: Cache, comparison: ComparisonResource, settings: Settings) -> ObservedComparison:
    jobs: tuple[FineTuneJobResource, ...] = _all_named(
        cache, Kind.FINE_TUNE_JOB, comparison, set(_candidate_names(comparison))
    )
    models = {candidate.fine_tuned_model for candidate in comparison.status.candidates}
    models |= {job.status.fine_tuned_model for job in jobs}
    return ObservedComparison(
        comparison=comparison,
        settings=settings,
        children=cache.children(comparison.uid),
        jobs=jobs,
        models=_all_named(cache, Kind.FINE_TUNED_MODEL, comparison, {name for name in models if name}),
        evaluations=tuple(cache.resources(Kind.EVALUATION, comparison.key.namespace)),
        comparisons=tuple(cache.resources(Kind.COMPARISON, comparison.key.namespace)),
    )


def _candidate_names(comparison: ComparisonResource) -> Iterator[str]:
    """An edited spec waits for the end of the run that is going on: the names of both."""
    yield from (candidate.fine_tune_job for candidate in comparison.spec.candidates)
    yield from (candidate.fine_tune_job for candidate in comparison.status.candidates)


def _fine_tuned_model(cache: Cache, model: FineTunedModelResource) -> ObservedFineTunedModel:
    origin = model.spec.fine_tune_job
    job: FineTuneJobResource | None = _named(cache, Kind.FINE_TUNE_JOB, model, origin.name)
    return ObservedFineTunedModel(
        model=model,
        job=job if job is not None and job.uid == origin.uid else None,
        comparisons=tuple(cache.referrers(model.key, Kind.COMPARISON)),
    )


def dependents(cache: Cache, resource: AnyResource) -> list[Key]:
    """Whose plan may change when this resource did: the resource itself and those that look at it."""
    return list(dict.fromkeys([resource.key, *_those_that_look_at(cache, resource)]))


def _those_that_look_at(cache: Cache, resource: AnyResource) -> Iterator[Key]:
    key = resource.key
    maker = cache.maker(resource)
    if maker is not None:
        yield maker
    for kind in (Kind.COMPARISON, Kind.EVALUATION, Kind.FINE_TUNED_MODEL):
        yield from (item.key for item in cache.referrers(key, kind))
    match key.kind:
        case Kind.FINE_TUNED_MODEL:
            origin = Key(Kind.FINE_TUNE_JOB, key.namespace, resource.spec.fine_tune_job.name)
            yield origin
            yield from (item.key for item in cache.referrers(origin, Kind.COMPARISON))
        case Kind.COMPARISON:
            for candidate in resource.status.candidates or resource.spec.candidates:
                yield Key(Kind.FINE_TUNE_JOB, key.namespace, candidate.fine_tune_job)
            for candidate in resource.status.candidates:
                if candidate.fine_tuned_model is not None:
                    yield Key(Kind.FINE_TUNED_MODEL, key.namespace, candidate.fine_tuned_model)
