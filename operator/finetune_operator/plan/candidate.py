"""Which model a Comparison is about: it waits until the job has left one, and is then bound to that one."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.conditions import ConditionType, FineTuneJobPhase, Reason
from finetune_operator.plan.comparison_situation import Situation
from finetune_operator.views import FineTunedModelResource, FineTuneJobResource

SETTLING_SECONDS = 30
"""How long after the end of a job its model may still be unknown: the two are watched apart."""


@dataclass(frozen=True)
class Resolved:
    """The comparison is about this model, whatever the job does from now on."""

    situation: Situation
    model: FineTunedModelResource


@dataclass(frozen=True)
class Awaited:
    """There is no model yet."""

    situation: Situation
    message: str
    look_again_seconds: float | None = None


@dataclass(frozen=True)
class Lost:
    """There will be no model."""

    situation: Situation
    reason: Reason
    message: str


def resolve(situation: Situation) -> Resolved | Awaited | Lost:
    candidate = situation.candidate
    if candidate.fine_tuned_model is None:
        return _find(situation)
    if situation.model is None:
        return Lost(situation, Reason.CANDIDATE_DELETED, f"FineTunedModel {candidate.fine_tuned_model} was deleted.")
    return Resolved(situation, situation.model)


def _find(situation: Situation) -> Resolved | Awaited | Lost:
    candidate, job = situation.candidate, situation.job
    gone = job is None or job.deleting or candidate.uid not in (None, job.uid)
    if gone and candidate.uid is not None:
        message = f"FineTuneJob {candidate.fine_tune_job} was deleted before it left a model."
        return Lost(situation, Reason.CANDIDATE_DELETED, message)
    if job is None or gone:
        message = (
            f"FineTuneJob {candidate.fine_tune_job} does not exist in this namespace; waiting for it. "
            "Create it, or correct spec.candidates."
        )
        return Awaited(situation, message)
    return _ask(situation.having(candidate.model_copy(update={"uid": job.uid})), job)


def _ask(situation: Situation, job: FineTuneJobResource) -> Resolved | Awaited | Lost:
    """How the job stands."""
    name = job.key.name
    if job.status.phase is FineTuneJobPhase.FAILED:
        why = next((item.message for item in job.status.conditions if item.type == ConditionType.FAILED), "")
        return Lost(situation, Reason.CANDIDATE_FAILED, f"FineTuneJob {name} failed: {why}")
    if job.status.phase is not FineTuneJobPhase.SUCCEEDED or job.status.run is None:
        phase = job.status.phase.value if job.status.phase is not None else "new"
        return Awaited(situation, f"Waiting for FineTuneJob {name}, which is {phase}.")
    pinned = {"run": job.status.run.digest, "fine_tuned_model": job.status.fine_tuned_model}
    bound = situation.having(situation.candidate.model_copy(update=pinned))
    if bound.model is not None:
        return Resolved(bound, bound.model)
    left = _settling_seconds(job, situation.now)
    if left > 0:
        return Awaited(situation, f"FineTuneJob {name} has just succeeded; its FineTunedModel is on the way.", left)
    message = f"FineTuneJob {name} succeeded, but its FineTunedModel {job.status.fine_tuned_model} was deleted."
    return Lost(situation, Reason.CANDIDATE_DELETED, message)


def _settling_seconds(job: FineTuneJobResource, now: datetime) -> float:
    finished = job.status.run.finished_at if job.status.run is not None else None
    if finished is None:
        return 0.0
    settled = datetime.fromisoformat(finished) + timedelta(seconds=SETTLING_SECONDS)
    return (settled - now).total_seconds()
