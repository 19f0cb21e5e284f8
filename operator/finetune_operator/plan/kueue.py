"""Jobs that wait in a queue of Kueue's: what is said of them, and what Kueue is told."""

from collections.abc import Iterable

from finetune_api.conditions import ConditionType, Reason
from finetune_api.runs import Run
from finetune_operator.kueue_workloads import KueueCondition, KueueWorkload
from finetune_operator.plan.actions import Action, BoostPriority
from finetune_operator.plan.conditions import Wanted
from finetune_operator.plan.outcomes import Broken
from finetune_operator.settings import Settings
from finetune_operator.views import Child, Children, JobState

MIRRORED = (ConditionType.QUOTA_RESERVED, ConditionType.ADMITTED, ConditionType.EVICTED, ConditionType.REQUEUED)
"""Conditions of a Workload that become the resource's own while its Job is there."""
PREEMPTED = "Preempted"
BOOST_STEP_MINUTES = 5
HIGHEST_BOOST = 60


def refusal(queue_name: str | None, settings: Settings) -> Broken | None:
    """The end, where nobody could let the Job go."""
    if queue_name is None or settings.kueue.enabled:
        return None
    message = (
        f"spec.queueName: {queue_name} is a queue of Kueue's, and this operator was installed without Kueue: leave "
        "spec.queueName out, or ask the administrator to set kueue.enabled in the chart's values."
    )
    return Broken(Reason.KUEUE_NOT_ENABLED, message, retry=False)


def conditions(children: Children, run: Run, *, over: bool) -> tuple[Wanted, ...]:
    """Kueue's own conditions of the Job that is there, with its reasons and words. None once the Job, or the resource,
    has ended: a pod's result may come before its Job's end."""
    workload = next((child.workload for child in _at_work(children, run) if child.workload is not None), None)
    if workload is None or over:
        return ()
    told = ((type_, workload.condition(type_.value)) for type_ in MIRRORED)
    return tuple(Wanted(type_, found.holds, found.reason or "Unknown", found.message) for type_, found in told if found)


def _at_work(children: Children, run: Run) -> Iterable[Child]:
    """The Jobs of a run that have not ended, the latest attempt first."""
    mine = (item for item in children.items if item.job.owned.run == run.digest)
    return sorted(
        (item for item in mine if item.job.state is JobState.ACTIVE and item.job.queue),
        key=lambda item: -item.job.owned.attempt,
    )


def why_held(child: Child, stopping: bool) -> tuple[Reason, str]:
    """Why Kueue holds a Job, as far as it says."""
    workload = child.workload
    if workload is None:
        return Reason.WAITING_FOR_QUOTA, (
            f"The Job waits in LocalQueue {child.job.queue} until Kueue takes it up; if this lasts, see whether Kueue "
            "runs and whether it serves this namespace."
        )
    evicted = workload.condition(ConditionType.EVICTED.value)
    if not workload.active:
        return Reason.WAITING_FOR_QUOTA, (
            f"Kueue's Workload {workload.name} is deactivated{_in_brackets(evicted)}: the Job waits until its "
            "spec.active is true again."
        )
    if evicted is not None and evicted.holds:
        reason = Reason.PREEMPTED if evicted.reason == PREEMPTED else Reason.WAITING_FOR_QUOTA
        now = "its pod is saving a checkpoint, and it" if stopping else "it"
        again = f"{now} goes on from its last checkpoint when it is admitted again.{_in_the_queue(workload)}"
        return reason, f"Kueue evicted the Job{_in_brackets(evicted)}; {again}"
    return Reason.WAITING_FOR_QUOTA, f"The Job waits in LocalQueue {child.job.queue}.{_in_the_queue(workload)}"


def _in_brackets(condition: KueueCondition | None) -> str:
    return f" ({condition.reason}: {condition.message})" if condition is not None and condition.holds else ""


def _in_the_queue(workload: KueueWorkload) -> str:
    reserved = workload.condition(ConditionType.QUOTA_RESERVED.value)
    if reserved is None:
        return ""
    if reserved.holds:
        return " Kueue has reserved its quota; its admission checks are not through."
    return f" Kueue: {reserved.message} ({reserved.reason})"


def boosts(children: Children, run: Run, settings: Settings) -> tuple[Action, ...]:
    """The priority of each Workload raised by what a preemption would cost now, so that Kueue takes first from the job
    that loses least. One that does not run has nothing to lose: with a boost, it would push others out in its turn."""
    if not settings.kueue.priority_boost:
        return ()
    return tuple(
        BoostPriority(child.workload, wanted)
        for child in _at_work(children, run)
        if child.workload is not None and child.workload.boost != (wanted := boost(child))
    )


def boost(child: Child) -> int:
    """Minutes since the last checkpoint, in steps, so that it costs a write every few minutes at most."""
    workload, said = child.workload, child.progress
    runs = not child.job.suspended and workload is not None and workload.holds(ConditionType.ADMITTED.value)
    if not runs or said is None or said.checkpoint_age_seconds is None:
        return 0
    minutes = said.checkpoint_age_seconds / 60
    return min(HIGHEST_BOOST, int(minutes // BOOST_STEP_MINUTES) * BOOST_STEP_MINUTES)
