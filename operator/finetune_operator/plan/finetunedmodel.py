"""FineTunedModel: nothing to run; what the job and the Comparisons found is noted on it."""

from datetime import datetime

from finetune_api.finetunedmodel import FineTunedModelStatus, ModelScore, Stage
from finetune_api.sources import SuiteSource
from finetune_operator.observed import ObservedFineTunedModel
from finetune_operator.plan.actions import NOTHING, Plan, WriteStatus
from finetune_operator.views import ComparisonResource

SCORE_LIMIT = 20


def plan(observed: ObservedFineTunedModel, now: datetime) -> Plan:
    """The registry entry as it should read now. What has been noted stays when its source is deleted."""
    model = observed.model
    if model.deleting:
        return NOTHING
    job = observed.job
    of_this_run = job is not None and job.status.run is not None and job.status.run.digest == _run(observed)
    training = job.status.training if job is not None and of_this_run else None
    status = FineTunedModelStatus(
        observed_generation=model.generation,
        stage=model.status.stage or Stage.CANDIDATE,
        scores=_scores(observed),
        training=training or model.status.training,
    )
    return Plan((WriteStatus(status),))


def _run(observed: ObservedFineTunedModel) -> str:
    return observed.model.spec.fine_tune_job.run


def _scores(observed: ObservedFineTunedModel) -> tuple[ModelScore, ...]:
    found = [score for comparison in observed.comparisons for score in _score(comparison, observed.model.key.name)]
    names = {score.comparison for score in found}
    kept = [score for score in observed.model.status.scores if score.comparison not in names]
    return tuple(sorted([*found, *kept], key=lambda score: score.comparison)[:SCORE_LIMIT])


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
    if suite.config_map is not None:
        return f"configMap/{suite.config_map.name}"
    if suite.persistent_volume_claim is not None:
        return f"persistentVolumeClaim/{suite.persistent_volume_claim.claim_name}/{suite.persistent_volume_claim.path}"
    return f"builtin/{suite.builtin}"
