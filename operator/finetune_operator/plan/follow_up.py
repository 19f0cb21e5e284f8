"""The Comparison that follows a FineTuneJob by itself, and what Comparisons say of the run."""

from dataclasses import dataclass
from datetime import datetime

from finetune_api.conditions import ComparisonPhase, ConditionType, Reason
from finetune_api.finetunejob import FineTuneJobSpec
from finetune_api.runs import Run, Summary
from finetune_operator.digests import model_name
from finetune_operator.manifests.children import follow_up_comparison
from finetune_operator.observed import ObservedFineTuneJob
from finetune_operator.plan.actions import Action
from finetune_operator.plan.conditions import Wanted
from finetune_operator.plan.creation import create
from finetune_operator.views import ComparisonResource


@dataclass(frozen=True)
class FollowUp:
    """What there is to say of it, and to do for it, once the job has succeeded."""

    evaluated: Wanted
    name: str | None = None
    summary: Summary | None = None
    actions: tuple[Action, ...] = ()
    look_again_seconds: float | None = None


def look(observed: ObservedFineTuneJob, run: Run, spec: FineTuneJobSpec, known: str | None, now: datetime) -> FollowUp:
    """`known` is the follow-up that was made already: one that was deleted since is not made again."""
    name = model_name(observed.job.key.name, observed.job.uid, run.digest)
    namesake = next((item for item in observed.comparisons if item.key.name == name), None)
    summary = _summary(observed, run, name)
    if namesake is not None and _is_ours(namesake, observed):
        return FollowUp(_told_by(namesake), name, summary)
    if known is not None:
        return FollowUp(_evaluated(Reason.CANDIDATE_DELETED, f"Comparison {known} was deleted."), known, summary)
    if spec.evaluation is None:
        return FollowUp(_evaluated(Reason.WAITING_FOR_EVALUATIONS, ""), None, summary)
    if namesake is not None:
        message = f"A Comparison named {name} exists and is not of this job: delete or rename it."
        return FollowUp(_evaluated(Reason.NAME_CONFLICT, message), None, summary)
    return _made(observed, run, spec, summary, now)


def _made(
    observed: ObservedFineTuneJob, run: Run, spec: FineTuneJobSpec, summary: Summary | None, now: datetime
) -> FollowUp:
    creation = create(observed.children, run, follow_up_comparison(observed.job, run.digest, spec), now)
    obstacle = creation.obstacle
    message = obstacle.message if obstacle is not None else "The Comparison with the base model follows."
    evaluated = _evaluated(obstacle.reason if obstacle is not None else Reason.WAITING_FOR_EVALUATIONS, message)
    return FollowUp(evaluated, None, summary, creation.actions, creation.look_again_seconds)


def _is_ours(comparison: ComparisonResource, observed: ObservedFineTuneJob) -> bool:
    uid = observed.job.uid
    return uid in comparison.owner_uids or (comparison.owned is not None and comparison.owned.uid == uid)


def _told_by(comparison: ComparisonResource) -> Wanted:
    name = comparison.key.name
    match comparison.status.phase:
        case ComparisonPhase.SUCCEEDED:
            return Wanted(ConditionType.EVALUATED, True, Reason.EVALUATED, f"See Comparison {name}.")
        case ComparisonPhase.FAILED:
            why = next((item.message for item in comparison.status.conditions if item.type == "Failed"), "")
            return _evaluated(Reason.EVALUATION_FAILED, f"Comparison {name} failed: {why}")
    return _evaluated(Reason.WAITING_FOR_EVALUATIONS, f"Comparison {name} with the base model is under way.")


def _evaluated(reason: Reason, message: str) -> Wanted:
    return Wanted(ConditionType.EVALUATED, False, reason, message)


def _summary(observed: ObservedFineTuneJob, run: Run, follow_up: str) -> Summary | None:
    """Of the follow-up or, where there is none, of the first Comparison by name that compared this run."""
    ended = [
        comparison
        for comparison in observed.comparisons
        if comparison.status.summary is not None
        and (
            (comparison.key.name == follow_up and _is_ours(comparison, observed))
            or any(candidate.run == run.digest for candidate in comparison.status.candidates)
        )
    ]
    best = min(ended, key=lambda item: (item.key.name != follow_up, item.key.name), default=None)
    return best.status.summary if best is not None else None
