"""Which model a Comparison is about: it waits until the job has left one, and is then bound to that one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from finetune_api.conditions import ConditionType, FineTuneJobPhase, Reason
from finetune_api.group import Kind
from finetune_operator.digests import run_digest
from finetune_operator.plan.actions import MakeSureItIsGone
from finetune_operator.plan.comparison_situation import Situation
from finetune_operator.plan.conditions import timestamp
from finetune_operator.views import FineTunedModelResource, FineTuneJobResource

SETTLING_SECONDS = 30
"""How long something that must be there may be unknown before it counts as deleted: kinds are watched apart."""


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
    gone: MakeSureItIsGone | None = None
    """What is not there, where that is the reason."""


@dataclass(frozen=True)
class AllResolved:
    """The comparison is about these models, in the order of spec.candidates, without those that are left out."""

    situation: Situation
    models: tuple[FineTunedModelResource, ...]
    gone: tuple[MakeSureItIsGone, ...] = ()
    """What those that are left out now are missed for."""


def resolve_all(situation: Situation) -> AllResolved | Awaited | Lost:
    """All candidates together. Those that are there are bound while others are waited for; of several, those that left
    no model are then left out."""
    found: list[Resolved | Awaited | Lost] = []
    for name in situation.names:
        found.append(resolve(situation.of(name)))
        situation = found[-1].situation
    lost = [item for item in found if isinstance(item, Lost)]
    if lost and not _may_do_without(situation, lost):
        return replace(lost[0], situation=situation)
    awaited = [item for item in found if isinstance(item, Awaited)]
    if awaited:
        again = [item.look_again_seconds for item in awaited if item.look_again_seconds is not None]
        messages = [*(item.message for item in awaited), *(f"It is left out: {item.message}" for item in lost)]
        return Awaited(situation, " ".join(messages), min(again, default=None))
    for item in lost:
        missing = item.situation.candidate
        situation = situation.having(missing.model_copy(update={"left_out": _cut(item.message)}))
    gone = tuple(item.gone for item in lost if item.gone is not None)
    return AllResolved(situation, tuple(item.model for item in found if isinstance(item, Resolved)), gone)


_LEFT_NO_MODEL = frozenset({Reason.CANDIDATE_FAILED, Reason.CANDIDATE_DELETED})
_MOST_CHARACTERS = 1024


def _may_do_without(situation: Situation, lost: Sequence[Lost]) -> bool:
    """Not without all, nor among replicates only, since a recipe is judged by all its seeds. One that was bound may be
    evaluated already, and what is compared with it was made for its presence."""
    jobs = [item.job for item in situation.each if item.job is not None]
    are_replicates = bool(jobs) and all(job.owned is not None for job in jobs)
    never_there = all(item.reason in _LEFT_NO_MODEL and not item.situation.candidate.fine_tuned_model for item in lost)
    return never_there and len(lost) < len(situation.names) and not are_replicates


def _cut(message: str) -> str:
    return message if len(message) <= _MOST_CHARACTERS else message[: _MOST_CHARACTERS - 4] + " ..."


def resolve(situation: Situation) -> Resolved | Awaited | Lost:
    candidate = situation.candidate
    if candidate.fine_tuned_model is None:
        return _find(situation)
    if situation.model is not None:
        return Resolved(situation, situation.model)
    message = f"FineTunedModel {candidate.fine_tuned_model} was deleted."
    gone = MakeSureItIsGone(Kind.FINE_TUNED_MODEL, candidate.fine_tuned_model, None)
    return _lost(situation, _made_at(situation), message, gone)


def _find(situation: Situation) -> Resolved | Awaited | Lost:
    candidate, job = situation.candidate, situation.job
    gone = job is None or job.deleting or candidate.uid not in (None, job.uid)
    if gone and candidate.uid is not None:
        message = f"FineTuneJob {candidate.fine_tune_job} was deleted before it left a model."
        missing = MakeSureItIsGone(Kind.FINE_TUNE_JOB, candidate.fine_tune_job, candidate.uid)
        return _lost(situation, situation.run.started_at if job is None else None, message, missing)
    if job is None or gone:
        message = (
            f"FineTuneJob {candidate.fine_tune_job} does not exist in this namespace; waiting for it. "
            "Create it, or correct spec.candidates."
        )
        return Awaited(situation, message)
    return _ask(situation.having(candidate.model_copy(update={"uid": job.uid})), job)


def _lost(situation: Situation, known_since: str | None, message: str, gone: MakeSureItIsGone) -> Awaited | Lost:
    """What is missing was deleted, unless it is so new that the watch may not have brought it yet."""
    if known_since is None:
        return Lost(situation, Reason.CANDIDATE_DELETED, message, gone)
    settled = datetime.fromisoformat(known_since) + timedelta(seconds=SETTLING_SECONDS)
    left = (settled - situation.now).total_seconds()
    if left <= 0:
        return Lost(situation, Reason.CANDIDATE_DELETED, message, gone)
    return Awaited(situation, f"Not seen at the moment; making sure that it is so: {message}", left)


def _made_at(situation: Situation) -> str | None:
    """When the job left the model; now, where it is not yet seen to have ended the run that is compared."""
    run = situation.job.status.run if situation.job is not None else None
    if run is None or run.digest != situation.candidate.run:
        return None
    return run.finished_at or timestamp(situation.now)


def _is_edited(job: FineTuneJobResource) -> bool:
    """Its status is still about an earlier spec: what it says of success or failure is not what is asked about."""
    run = job.status.run
    another = run is not None and run.digest != run_digest(job.key.kind, job.spec, job.rerun)
    return another or job.status.observed_generation < job.generation


def _names_a_recipe(job: FineTuneJobResource) -> str:
    names = ", ".join(item.fine_tune_job for item in job.status.replicates) or "as its status.replicates tells them"
    return (
        f"spec.candidates: FineTuneJob {job.key.name} trains replicates and leaves no model of its own. "
        f"Name the replicates: {names}."
    )


def _ask(situation: Situation, job: FineTuneJobResource) -> Resolved | Awaited | Lost:
    """How the job stands."""
    name = job.key.name
    if job.status.replicates or job.spec.training.seeds is not None:
        return Lost(situation, Reason.ORDER_INVALID, _names_a_recipe(job))
    if job.status.phase in (FineTuneJobPhase.SUCCEEDED, FineTuneJobPhase.FAILED) and _is_edited(job):
        return Awaited(situation, f"Waiting for FineTuneJob {name}, whose spec was changed.")
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
    message = f"FineTuneJob {name} succeeded, but its FineTunedModel {job.status.fine_tuned_model} was deleted."
    gone = MakeSureItIsGone(Kind.FINE_TUNED_MODEL, job.status.fine_tuned_model or "", None)
    return _lost(situation, job.status.run.finished_at, message, gone)
