"""From a decision to status and Event: what people and machines are told, the same way for every kind."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from finetune_api.conditions import ConditionType, Reason
from finetune_api.fields import ApiModel
from finetune_api.group import NAMES, RERUN_ANNOTATION
from finetune_api.queue_order import WAITS
from finetune_api.runs import QueuePosition, Run
from finetune_operator.plan.actions import Action, EmitEvent, WriteStatus
from finetune_operator.plan.conditions import Wanted, merge
from finetune_operator.plan.lifecycle import Course
from finetune_operator.plan.outcomes import Broken
from finetune_operator.views import AnyResource


@dataclass(frozen=True)
class Report:
    """How the resource stands now, in the words of its kind."""

    phase: StrEnum
    reason: Reason
    message: str
    aspects: tuple[Wanted, ...] = ()
    """Conditions of the kind's own steps, in their order."""
    validated: bool = False
    """Whether what the user wrote was found sound; until then kstatus sees the resource as reconciling."""

    @property
    def failed(self) -> bool:
        return self.phase.value == "Failed"

    @property
    def succeeded(self) -> bool:
        return self.phase.value == "Succeeded"

    @property
    def over(self) -> bool:
        return self.failed or self.succeeded


def place_of(estimate: QueuePosition | None, report: Report) -> QueuePosition | None:
    """Its place in the queue, as long as it stands in it."""
    waits = report.phase.value == "Queued" and report.reason in WAITS
    return estimate if waits else None


CHANGE_PENDING = " The spec was changed; a new run starts when this one ends."


IN_SHORT = "The run failed; condition Failed says why and what to do."


def _in_short(aspect: Wanted) -> Wanted:
    """The failure is told once: `kubectl describe` shows all conditions below each other."""
    return aspect if aspect.holds else replace(aspect, message=IN_SHORT)


def wanted_conditions(report: Report) -> Iterable[Wanted]:
    """The kind's aspects, then Complete, and what kstatus knows: Reconciling until validated, Stalled at the end."""
    yield from (_in_short(aspect) if report.failed else aspect for aspect in report.aspects)
    yield Wanted(ConditionType.COMPLETE, report.succeeded, report.reason, report.message)
    if report.failed:
        yield Wanted(ConditionType.FAILED, True, report.reason, report.message)
        yield Wanted(ConditionType.STALLED, True, report.reason, IN_SHORT)
    elif report.phase.value == "Suspended":
        yield Wanted(ConditionType.SUSPENDED, True, report.reason, report.message)
    elif not report.validated and not report.succeeded:
        yield Wanted(ConditionType.RECONCILING, True, report.reason, report.message)


def attempt_follows(run: Run) -> str:
    return f"Attempt {run.attempt} follows" + (f" at {run.not_before}." if run.not_before else ".")


def failure_report(resource: AnyResource, phase: StrEnum, broken: Broken, validated: bool) -> Report:
    """The end, with the way back: an edited spec starts again by itself, mended content has to be told."""
    target = f"-n {resource.key.namespace} {NAMES[resource.key.kind].short} {resource.key.name}"
    again = f"kubectl annotate {target} {RERUN_ANNOTATION}=$(date +%s) --overwrite"
    message = f"{broken.message}\nTo try again when it is mended: change the spec, or: {again}"
    return Report(phase, broken.reason, message, validated=validated)


def still(status: Any, phase: StrEnum, validated: bool) -> Report:
    """What was told before, while nothing new can be said: the cause of a pause is worth more than its length."""
    complete = next((item for item in status.conditions if item.type == ConditionType.COMPLETE), None)
    if complete is None or complete.reason == Reason.SPEC_CHANGE_PENDING:
        message = complete.message.removesuffix(CHANGE_PENDING) if complete is not None else ""
        return Report(phase, Reason.RETRYING, message, validated=validated)
    return Report(phase, Reason(complete.reason), complete.message, validated=validated)


def told(
    resource: AnyResource,
    status: ApiModel,
    run: Run,
    report: Report,
    now: datetime,
    course: Course[Any, Any],
    /,
    **fields: Any,
) -> tuple[Action, ...]:
    """One status write, and one Event when the phase changed. `fields` are those of the status; one of them may well be
    called like a parameter: a Comparison has a report."""
    before: Any = resource.status
    if course.change_pending and not (report.failed or report.succeeded):
        report = replace(report, reason=Reason.SPEC_CHANGE_PENDING, message=report.message + CHANGE_PENDING)
    conditions = merge(before.conditions, wanted_conditions(report), resource.generation, now)
    written = status.model_copy(
        update={
            **fields,
            "observed_generation": resource.generation,
            "phase": report.phase,
            "conditions": conditions,
            "run": run,
        }
    )
    same_phase = before.phase is report.phase and before.run is not None and before.run.digest == run.digest
    event = () if same_phase else (_event(resource, run, report),)
    return (*event, WriteStatus(written))


def acknowledged(resource: AnyResource) -> tuple[Action, ...]:
    """A resource that has ended, and whose spec was edited in a way that starts nothing: the same for what it is now.
    Without it, kstatus waits for ever."""
    status: Any = resource.status
    if status.observed_generation == resource.generation:
        return ()
    generation = {"observed_generation": resource.generation}
    conditions = tuple(item.model_copy(update=generation) for item in status.conditions)
    return (WriteStatus(status.model_copy(update={**generation, "conditions": conditions})),)


def _event(resource: AnyResource, run: Run, report: Report) -> EmitEvent:
    """The resource's version is part of its name: a reconcile that is repeated says it once, a phase that comes back
    is told again."""
    version = str(resource.resource_version)
    return EmitEvent(
        reason=report.phase.value if not report.failed else report.reason.value,
        message=report.message,
        warning=report.failed,
        about=(resource.uid, run.digest, str(run.attempt), report.phase.value, version),
    )
