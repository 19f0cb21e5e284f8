"""How one attempt of a step stands: a table from what Job, pod and Events show to a state and its cause."""

from dataclasses import dataclass


from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.group import Step
from finetune_api.results import Failure, Result, parse_result
from finetune_operator.plan import waiting
from finetune_operator.views import Child, Children, JobState, PodView, Termination


@dataclass(frozen=True)
class Absent:
    """No Job runs this attempt yet."""


@dataclass(frozen=True)
class Waiting:
    """A Job is there, and no pod of it runs."""

    reason: Reason
    message: str
    started: bool = False
    """Whether a node was found."""


@dataclass(frozen=True)
class Suspended:
    """The Job is held."""

    stopping: bool
    """Whether its pod is still saving its work."""


@dataclass(frozen=True)
class Running:
    """The pod works."""

    pod: PodView


@dataclass(frozen=True)
class Done:
    """The step ended well."""

    result: Result


@dataclass(frozen=True)
class Broken:
    """The attempt ended badly, or its result was lost."""

    reason: Reason
    message: str
    retry: bool
    counted: bool = True
    result_lost: bool = False
    """The work was done, but nobody can say with which result: prepare looks for it on the volume."""


State = Absent | Waiting | Suspended | Running | Done | Broken

MEMORY_KILL = "OOMKilled"


def state_of(children: Children, run: str, step: Step, attempt: int) -> State:
    """The state of a step: that of its latest attempt, where a failed earlier attempt counts as none."""
    attempts = children.of(run, step)
    if not attempts:
        return Absent()
    state = _state(attempts[-1], step)
    outlived = attempts[-1].job.owned.attempt < attempt and not isinstance(state, Done)
    return Absent() if outlived else state


def latest(children: Children, run: str, step: Step) -> Child | None:
    attempts = children.of(run, step)
    return attempts[-1] if attempts else None


def _state(child: Child, step: Step) -> State:
    if child.job.state is not JobState.ACTIVE and _pods_lag_behind(child):
        return Waiting(Reason.STARTING, "The Job ended; its pod's last word is on the way.", started=True)
    if child.job.state is JobState.COMPLETE:
        return _completed(child)
    if child.job.state is JobState.FAILED:
        return _failed(child, step)
    if child.job.suspended:
        return Suspended(stopping=any(pod.termination is None for pod in child.pods))
    return _active(child)


def _pods_lag_behind(child: Child) -> bool:
    """Jobs and pods are watched apart: a Job's end can arrive before its pod's."""
    return any(pod.termination is None and pod.phase in ("Pending", "Running") for pod in child.pods)


def _active(child: Child) -> State:
    pod = _current_pod(child)
    if pod is not None and pod.started_at and not pod.deleting:
        return Running(pod)
    reason, message = waiting.cause(child, pod)
    return Waiting(reason, message, started=pod is not None and bool(pod.node))


def _current_pod(child: Child) -> PodView | None:
    """The newest pod that has not ended; a Job has two while one that was preempted is being replaced."""
    living = [pod for pod in child.pods if pod.termination is None]
    return max(living, key=lambda pod: (not pod.deleting, pod.created_at, pod.name), default=None)


def _completed(child: Child) -> State:
    for termination in _terminations(child):
        result = _result(termination)
        if termination.exit_code == ExitCode.DONE and result is not None and not isinstance(result, Failure):
            return Done(result)
    return Broken(
        Reason.POD_LOST,
        "The Job completed, but its pod is gone and its result with it; looking for it on the artifacts volume.",
        retry=True,
        counted=False,
        result_lost=True,
    )


def _failed(child: Child, step: Step) -> Broken:
    terminations = _terminations(child)
    if not terminations:
        return _pod_vanished(child)
    return _blame(terminations[0], step)


def _pod_vanished(child: Child) -> Broken:
    """The Job failed and no pod is left to tell why: it was deleted, or its node is gone."""
    warned = f" {child.warning.message}" if child.warning else ""
    message = f"The pod disappeared before it ended ({child.job.message or 'deleted'}).{warned}"
    return Broken(Reason.POD_LOST, message, retry=True)


def _terminations(child: Child) -> list[Termination]:
    """How the pods ended, latest first."""
    ended = [pod.termination for pod in child.pods if pod.termination is not None]
    return sorted(ended, key=lambda termination: termination.finished_at, reverse=True)


def _result(termination: Termination) -> Result | None:
    try:
        return parse_result(termination.message)
    except ValueError:
        return None


def _blame(termination: Termination, step: Step) -> Broken:
    """Whose fault it was: the container's exit code says, and the failure that it left tells the rest."""
    if termination.reason == MEMORY_KILL:
        return _out_of_host_memory(step)
    failure = _result(termination)
    reason, message = (failure.reason, _with_errors(failure)) if isinstance(failure, Failure) else (None, "")
    match termination.exit_code:
        case ExitCode.USER:
            return Broken(reason or Reason.ORDER_INVALID, message or _last_words(termination), retry=False)
        case ExitCode.NON_FINITE_LOSS:
            return Broken(reason or Reason.NON_FINITE_LOSS, message or _last_words(termination), retry=False)
        case ExitCode.DEADLINE_EXCEEDED:
            return Broken(reason or Reason.DEADLINE_EXCEEDED, message or _last_words(termination), retry=False)
        case ExitCode.STOPPED:
            message = message or "Stopped; a checkpoint was saved."
            return Broken(reason or Reason.PREEMPTED, message, retry=True, counted=False)
        case ExitCode.GPU_OUT_OF_MEMORY:
            return Broken(reason or Reason.OUT_OF_MEMORY, message or _last_words(termination), retry=True)
        case ExitCode.INFRASTRUCTURE | ExitCode.OVERHEATED:
            return Broken(reason or Reason.STORAGE_FAILED, message or _last_words(termination), retry=True)
        case _:
            return Broken(Reason.INTERNAL_ERROR, message or _last_words(termination), retry=True)


def _out_of_host_memory(step: Step) -> Broken:
    remedy = (
        "raise spec.resources.memory and the work goes on from its last checkpoint"
        if step in (Step.TRAIN, Step.EVALUATE)
        else "ask the administrator to raise stepResources.memory in the chart's values"
    )
    message = f"The {step.value} container took more host memory than its limit and was killed: {remedy}."
    return Broken(Reason.HOST_MEMORY_EXCEEDED, message, retry=False)


def _with_errors(failure: Failure) -> str:
    """The message with the first errors below it, as `kubectl describe` shows them."""
    lines = [failure.message, *(f"- {error}" for error in failure.errors)]
    hidden = failure.error_count - len(failure.errors)
    if failure.errors and hidden > 0:
        lines.append(f"- and {hidden} more, in prepare-errors.jsonl on the artifacts volume")
    return "\n".join(lines)


def _last_words(termination: Termination) -> str:
    tail = termination.message.strip().splitlines()[-1:] or ["no message; see the pod's log"]
    return f"The container ended with exit code {termination.exit_code} ({termination.reason}): {tail[0][:500]}"
