"""A FineTuneJob with training.seeds: it trains nothing itself, but makes one FineTuneJob a seed and waits for all."""

from collections.abc import Iterable
from dataclasses import dataclass

from finetune_api.conditions import ConditionType, FineTuneJobPhase, Reason
from finetune_api.finetunejob import Replicate
from finetune_api.runs import Progress, Run
from finetune_operator.digests import replicate_name
from finetune_operator.manifests.children import replicate
from finetune_operator.observed import ObservedFineTuneJob
from finetune_operator.plan.actions import Action, DeleteReplicate, SuspendReplicate
from finetune_operator.plan.creation import Creation, create
from finetune_operator.plan.finetunejob_situation import Situation
from finetune_operator.plan.outcomes import Broken
from finetune_operator.plan.reporting import Report, failure_report
from finetune_operator.views import FineTuneJobResource

Phase = FineTuneJobPhase
_ENDED = (Phase.SUCCEEDED, Phase.FAILED)


@dataclass(frozen=True)
class Standing:
    """How the replicates stand together, and what to do for them."""

    report: Report
    replicates: tuple[Replicate, ...]
    progress: Progress | None
    actions: tuple[Action, ...] = ()
    look_again_seconds: float | None = None


@dataclass(frozen=True)
class _Member:
    """One seed with its FineTuneJob, if that is there."""

    seed: int
    name: str
    job: FineTuneJobResource | None

    @property
    def phase(self) -> FineTuneJobPhase | None:
        phase: FineTuneJobPhase | None = self.job.status.phase if self.job is not None else None
        return phase

    @property
    def told(self) -> Replicate:
        training = self.job.status.training if self.job is not None else None
        return Replicate(
            seed=self.seed,
            fine_tune_job=self.name,
            phase=self.phase,
            fine_tuned_model=self.job.status.fine_tuned_model if self.job is not None else None,
            validation_loss=training.validation_loss if training is not None else None,
        )


def stand(situation: Situation) -> Standing:
    """Makes the replicates that are missing, passes spec.suspend on, and tells how they do."""
    members = _members(situation)
    creations = [_created(situation, member) for member in members if member.job is None]
    conflict = next((item.conflict for item in creations if item.conflict is not None), None)
    actions = (*_made_anew(situation, members), *_suspended_alike(situation, members))
    actions += tuple(action for item in creations for action in item.actions)
    again = [item.look_again_seconds for item in creations if item.look_again_seconds is not None]
    report = _failed(situation, conflict) if conflict is not None else _report(situation, members, creations, actions)
    return Standing(
        report, tuple(member.told for member in members), _mean_progress(members), actions, min(again, default=None)
    )


def superseded(observed: ObservedFineTuneJob, run: Run) -> tuple[Action, ...]:
    """Replicates of another run that have not ended."""
    return tuple(
        DeleteReplicate(job.key.name, job.uid)
        for job in observed.replicates
        if not job.deleting and job.status.phase not in _ENDED and job.owned is not None and job.owned.run != run.digest
    )


def _members(situation: Situation) -> tuple[_Member, ...]:
    job, there = situation.observed.job, {item.key.name: item for item in situation.observed.replicates}
    named = (
        (seed, replicate_name(job.key.name, job.uid, situation.run.digest, seed))
        for seed in situation.spec.training.seeds or ()
    )
    return tuple(_Member(seed, name, there.get(name)) for seed, name in named)


def _created(situation: Situation, member: _Member) -> Creation:
    manifest = replicate(situation.observed.job, situation.run.digest, situation.spec, member.seed)
    return create(situation.observed.children, situation.run, manifest, situation.now)


def _made_anew(situation: Situation, members: Iterable[_Member]) -> tuple[Action, ...]:
    """Those that failed before this run began, or was taken up again after an edit."""
    return tuple(
        DeleteReplicate(member.name, member.job.uid)
        for member in members
        if member.job is not None and not member.job.deleting and _failed_before(member.job, situation)
    )


def _failed_before(job: FineTuneJobResource, situation: Situation) -> bool:
    run = job.status.run
    ended = run.finished_at if run is not None and job.status.phase is Phase.FAILED else None
    return ended is not None and ended < situation.run.started_at


def _suspended_alike(situation: Situation, members: Iterable[_Member]) -> tuple[Action, ...]:
    wanted = situation.spec.suspend
    return tuple(
        SuspendReplicate(member.name, member.job.uid, wanted)
        for member in members
        if member.job is not None and member.phase not in _ENDED and member.job.spec.suspend != wanted
    )


def _report(
    situation: Situation, members: tuple[_Member, ...], creations: list[Creation], actions: tuple[Action, ...]
) -> Report:
    phases = [member.phase for member in members]
    ended = all(phase in _ENDED for phase in phases) and not actions
    if ended and Phase.FAILED in phases:
        return _failed(situation, _why(members))
    if ended:
        message = f"Trained {len(members)} replicates, one a seed; each is registered as a FineTunedModel of its own."
        return Report(Phase.SUCCEEDED, Reason.TRAINED, message, validated=True)
    validated = all(member.job is not None and member.job.status.plan is not None for member in members)
    obstacle = next((item.obstacle for item in creations if item.obstacle is not None), None)
    if obstacle is not None:
        return Report(Phase.TRAINING, obstacle.reason, obstacle.message, validated=validated)
    if situation.spec.suspend and all(phase in (*_ENDED, Phase.SUSPENDED) for phase in phases):
        message = "spec.suspend is true; set it to false to go on with all replicates."
        return Report(Phase.SUSPENDED, Reason.SUSPENDED, message, validated=validated)
    return Report(Phase.TRAINING, Reason.RUNNING, _in_words(members), validated=validated)


def _in_words(members: tuple[_Member, ...]) -> str:
    done = sum(member.phase in _ENDED for member in members)
    others = (
        f"seed {member.seed} is {member.phase.value if member.phase is not None else 'new'}"
        for member in members
        if member.phase not in _ENDED
    )
    return f"{done} of {len(members)} replicates have ended; {', '.join(others)}."


def _why(members: Iterable[_Member]) -> Broken:
    """All that failed by name; the reason is that of the first."""
    failed = [member for member in members if member.job is not None and member.phase is Phase.FAILED]
    conditions = [
        next((item for item in member.job.status.conditions if item.type == ConditionType.FAILED), None)
        for member in failed
        if member.job is not None
    ]
    told = (
        f"FineTuneJob {member.name} (seed {member.seed}) failed: {condition.message if condition is not None else ''}"
        for member, condition in zip(failed, conditions, strict=True)
    )
    reason = Reason(conditions[0].reason) if conditions[0] is not None else Reason.INTERNAL_ERROR
    return Broken(reason, "\n".join(told), retry=False)


def _failed(situation: Situation, broken: Broken) -> Report:
    return failure_report(situation.observed.job, Phase.FAILED, broken, situation.prepared)


def _mean_progress(members: tuple[_Member, ...]) -> Progress | None:
    """None at the end; one that has ended counts whole."""
    if all(member.phase in _ENDED for member in members):
        return None
    percentage = sum(_percentage(member) for member in members) // len(members)
    return Progress(percentage=percentage, step=percentage, steps=100, stage="training")


def _percentage(member: _Member) -> int:
    if member.phase in _ENDED:
        return 100
    progress = member.job.status.progress if member.job is not None else None
    return progress.percentage if progress is not None else 0
