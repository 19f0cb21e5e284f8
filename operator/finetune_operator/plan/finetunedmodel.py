"""FineTunedModel: nothing to run; what the job and the Comparisons found is noted on it."""

from datetime import datetime

from finetune_api.fields import TEXT_LIMIT
from finetune_api.finetunedmodel import FineTunedModelStatus, ModelScore, Stage
from finetune_api.finetunejob import TrainingSummary
from finetune_api.sources import SuiteSource
from finetune_operator.observed import ObservedFineTunedModel
from finetune_operator.plan.actions import NOTHING, Plan, WriteStatus
from finetune_operator.views import ComparisonResource

SCORE_LIMIT = 20


def plan(observed: ObservedFineTunedModel, now: datetime) -> Plan:
    """The registry entry as it should read now. What has been noted stays when its source is deleted."""
    model = observed.model
    training = _training(observed)
    if model.deleting or (training is None and _is_about_to_be_told(observed)):
        return NOTHING
    status = FineTunedModelStatus(
        observed_generation=model.generation,
        stage=model.status.stage or Stage.CANDIDATE,
        scores=_scores(observed),
        training=training,
    )
    return Plan((WriteStatus(status),))


def _training(observed: ObservedFineTunedModel) -> TrainingSummary | None:
    told = observed.job.status.training if observed.job is not None and _has_this_run(observed) else None
    return told or observed.model.status.training


def _has_this_run(observed: ObservedFineTunedModel) -> bool:
    run = observed.job.status.run if observed.job is not None else None
    return run is not None and run.digest == observed.model.spec.fine_tune_job.run


def _is_about_to_be_told(observed: ObservedFineTunedModel) -> bool:
    """The entry is made just before its job has succeeded: one write then says it all."""
    return observed.job is not None and _has_this_run(observed) and not observed.job.deleting


def _scores(observed: ObservedFineTunedModel) -> tuple[ModelScore, ...]:
    """Latest first; those whose Comparison is gone, or is at it again, come after."""
    latest_first = sorted(observed.comparisons, key=_finished, reverse=True)
    found = [score for comparison in latest_first for score in _score(comparison, observed.model.key.name)]
    names = {score.comparison for score in found}
    kept = [score for score in observed.model.status.scores if score.comparison not in names]
    return tuple([*found, *kept][:SCORE_LIMIT])


def _finished(comparison: ComparisonResource) -> tuple[str, str]:
    run = comparison.status.run
    return (run.finished_at or "" if run is not None else "", comparison.key.name)


def _score(comparison: ComparisonResource, model: str) -> list[ModelScore]:
    """The score that a finished Comparison gives this model; none while it is going on."""
    scored = [item for item in comparison.status.candidates if item.fine_tuned_model == model]
    return [
        ModelScore(
            comparison=comparison.key.name,
            suite=suite_name(comparison.spec.suite),
            base=item.overall.base,
            tuned=item.overall.tuned,
            verdict=item.verdict,
        )
        for item in scored
        if item.overall is not None and item.verdict is not None
    ]


def suite_name(suite: SuiteSource) -> str:
    """As the status has room for it: a path alone may be as long."""
    return _whole_name(suite)[:TEXT_LIMIT]


def _whole_name(suite: SuiteSource) -> str:
    if suite.config_map is not None:
        return f"configMap/{suite.config_map.name}"
    if suite.persistent_volume_claim is not None:
        return f"persistentVolumeClaim/{suite.persistent_volume_claim.claim_name}/{suite.persistent_volume_claim.path}"
    return f"builtin/{suite.builtin}"
