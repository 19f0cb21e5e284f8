"""What bears on a resource, gathered from the cache. No API call."""

from typing import Any

from finetune_api.group import Kind
from finetune_operator.cache import Cache
from finetune_operator.digests import model_name
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


def _named(cache: Cache, kind: Kind, beside: AnyResource, name: str | None) -> Any:
    return cache.resource(Key(kind, beside.key.namespace, name)) if name is not None else None


def _fine_tune_job(cache: Cache, job: FineTuneJobResource, settings: Settings) -> ObservedFineTuneJob:
    models = cache.resources(Kind.FINE_TUNED_MODEL, job.key.namespace)
    comparisons = cache.resources(Kind.COMPARISON, job.key.namespace)
    strangers = {model.key.name for model in models if model.spec.fine_tune_job.uid != job.uid}
    strangers |= {item.key.name for item in comparisons if job.uid not in item.owner_uids}
    run = job.status.run.digest if job.status.run is not None else ""
    follow_up = model_name(job.key.name, job.uid, run)
    return ObservedFineTuneJob(
        job=job,
        settings=settings,
        children=cache.children(job.uid),
        models=tuple(model for model in models if model.spec.fine_tune_job.uid == job.uid),
        comparisons=tuple(item for item in comparisons if _is_about(item, job) or item.key.name == follow_up),
        name_takers=frozenset(strangers),
    )


def _is_about(comparison: ComparisonResource, job: FineTuneJobResource) -> bool:
    return any(candidate.uid == job.uid for candidate in comparison.status.candidates)


def _evaluation(cache: Cache, evaluation: EvaluationResource, settings: Settings) -> ObservedEvaluation:
    return ObservedEvaluation(
        evaluation=evaluation,
        settings=settings,
        children=cache.children(evaluation.uid),
        model=_named(cache, Kind.FINE_TUNED_MODEL, evaluation, evaluation.spec.model.fine_tuned_model),
    )


def _comparison(cache: Cache, comparison: ComparisonResource, settings: Settings) -> ObservedComparison:
    namespace = comparison.key.namespace
    return ObservedComparison(
        comparison=comparison,
        settings=settings,
        children=cache.children(comparison.uid),
        candidate=_named(cache, Kind.FINE_TUNE_JOB, comparison, _candidate(comparison)),
        models=tuple(cache.resources(Kind.FINE_TUNED_MODEL, namespace)),
        evaluations=tuple(cache.resources(Kind.EVALUATION, namespace)),
    )


def _candidate(comparison: ComparisonResource) -> str:
    """The candidate of the run that is going on; an edited spec waits for its end."""
    known = comparison.status.candidates
    return known[0].fine_tune_job if known else comparison.spec.candidates[0].fine_tune_job


def _fine_tuned_model(cache: Cache, model: FineTunedModelResource) -> ObservedFineTunedModel:
    origin = model.spec.fine_tune_job
    job: FineTuneJobResource | None = _named(cache, Kind.FINE_TUNE_JOB, model, origin.name)
    comparisons = cache.resources(Kind.COMPARISON, model.key.namespace)
    return ObservedFineTunedModel(
        model=model,
        job=job if job is not None and job.uid == origin.uid else None,
        comparisons=tuple(item for item in comparisons if _scores(item, model.key.name)),
    )


def _scores(comparison: ComparisonResource, model: str) -> bool:
    return any(candidate.fine_tuned_model == model for candidate in comparison.status.candidates)


def dependents(cache: Cache, resource: AnyResource) -> list[Key]:
    """Whose plan may change when this resource did: the resource itself and those that look at it."""
    namespace, kind = resource.key.namespace, resource.key.kind
    near: list[Key] = [resource.key]
    if kind in (Kind.FINE_TUNE_JOB, Kind.EVALUATION, Kind.FINE_TUNED_MODEL):
        near += [item.key for item in cache.resources(Kind.COMPARISON, namespace) if not _has_ended(item)]
    if kind in (Kind.FINE_TUNED_MODEL, Kind.COMPARISON):
        near += [item.key for item in cache.resources(Kind.FINE_TUNE_JOB, namespace) if _looks_at(item, resource)]
    if kind is Kind.FINE_TUNED_MODEL:
        near += [
            item.key
            for item in cache.resources(Kind.EVALUATION, namespace)
            if item.spec.model.fine_tuned_model == resource.key.name
        ]
    if kind in (Kind.FINE_TUNE_JOB, Kind.COMPARISON):
        near += [item.key for item in cache.resources(Kind.FINE_TUNED_MODEL, namespace) if _notes(item, resource)]
    return near


def _has_ended(comparison: ComparisonResource) -> bool:
    return comparison.status.phase is not None and comparison.status.phase.value in ("Succeeded", "Failed")


def _looks_at(job: FineTuneJobResource, resource: AnyResource) -> bool:
    if resource.key.kind is Kind.FINE_TUNED_MODEL:
        return bool(resource.spec.fine_tune_job.uid == job.uid)
    return _is_about(resource, job) or job.uid in resource.owner_uids


def _notes(model: FineTunedModelResource, resource: AnyResource) -> bool:
    if resource.key.kind is Kind.FINE_TUNE_JOB:
        return model.spec.fine_tune_job.uid == resource.uid
    return _scores(resource, model.key.name)
