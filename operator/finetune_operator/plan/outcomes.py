"""How a step ended: the result that its pod left, or whose fault it was that there is none."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from finetune_api.comparison import CandidateStatus
from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.fields import ApiModel
from finetune_api.group import Kind, Step
from finetune_api.results import (
    CompareResult,
    EvaluateResult,
    Failure,
    PrepareEvaluationResult,
    PrepareTrainingResult,
    Result,
    TrainResult,
    parse_result,
)
from finetune_operator.views import Child, PodView, Termination

_T = TypeVar("_T")

MEMORY_KILL = "OOMKilled"
SIGNALLED = 128
"""A container that a signal killed ends with this and the signal's number."""

EXPECTED: Mapping[tuple[Kind, Step], type[ApiModel]] = {
    (Kind.FINE_TUNE_JOB, Step.PREPARE): PrepareTrainingResult,
    (Kind.FINE_TUNE_JOB, Step.TRAIN): TrainResult,
    (Kind.EVALUATION, Step.PREPARE): PrepareEvaluationResult,
    (Kind.EVALUATION, Step.EVALUATE): EvaluateResult,
    (Kind.COMPARISON, Step.PREPARE): PrepareEvaluationResult,
    (Kind.COMPARISON, Step.COMPARE): CompareResult,
}
"""What each step ends with."""


@dataclass(frozen=True)
class Broken:
    """The attempt ended badly, or its result was lost."""

    reason: Reason
    message: str
    retry: bool
    counted: bool = True
    result_lost: bool = False
    """The work was done, but nobody can say with which result: prepare looks for it on the volume."""
    energy_kwh: str | None = None
    """What the run's attempts have drawn so far, where the failure told it."""
    deadline_seconds: int | None = None
    """The deadline that the pod was started with, where it has passed."""

    @property
    def pauses(self) -> bool:
        """Whether it gets better by waiting. What is not counted goes on at once, but for a GPU that has to cool."""
        return self.counted or self.reason is Reason.OVERHEATED


def result_of(child: Child) -> Result | None:
    """What a pod that ended well said, when it is what this step says and its numbers are numbers. Of several pods the
    first speaks for all."""
    for pod in child.pods:
        if pod.rank == 0 and pod.termination is not None and pod.termination.exit_code == ExitCode.DONE:
            result = _read(pod.termination)
            if _is_expected(result, child) and _is_finite(result):
                return result
    return None


def _read(termination: Termination) -> Result | None:
    try:
        return parse_result(termination.message)
    except ValueError:
        return None


def _is_expected(result: Result | None, child: Child) -> bool:
    owned = child.job.owned
    return owned.step is not None and isinstance(result, EXPECTED[owned.kind, owned.step])


def _is_finite(result: Result | None) -> bool:
    """A score that is not a number is not a score."""
    try:
        return all(math.isfinite(float(number)) for number in _numbers(result))
    except ValueError:
        return False


def _numbers(result: Result | None) -> Iterator[str]:
    match result:
        case TrainResult():
            yield from (result.training.final_loss, result.training.hours)
        case PrepareTrainingResult(trained=TrainResult() as trained):
            yield from _numbers(trained)
        case EvaluateResult():
            yield from (result.score, result.seconds, *(task.score for task in result.tasks))
        case PrepareEvaluationResult(evaluated=EvaluateResult() as evaluated):
            yield from _numbers(evaluated)
        case CompareResult():
            yield from _numbers_of(result.candidate)


def _numbers_of(candidate: CandidateStatus) -> Iterator[str]:
    """An end of an interval that is left out is unbounded; one that is there must be a number."""
    for task in candidate.tasks:
        yield from (task.p_holm, task.became_parsable, task.became_right)
    for effect in _present(candidate.overall, *candidate.tasks):
        yield from (effect.base, effect.tuned, effect.delta, effect.lower, effect.upper, effect.p)
        yield from _present(effect.delta_percent)
    for guardrail in _present(candidate.perplexity):
        yield from (guardrail.base, guardrail.tuned, guardrail.delta)
        yield from _present(guardrail.lower, guardrail.upper)
    for ranking in _present(candidate.ranking):
        yield from (ranking.p_holm, ranking.lower, ranking.upper)
    for pair in candidate.versus:
        yield from (pair.delta, pair.lower, pair.upper)
    for gate in candidate.gates:
        yield from _present(gate.bound, gate.limit)


def _present(*values: _T | None) -> Iterator[_T]:
    return (value for value in values if value is not None)


def without_result(child: Child) -> Broken:
    """The Job completed, and no result can be read."""
    terminations = [pod.termination for pod in child.pods if pod.rank == 0 and pod.termination is not None]
    if terminations:
        words = f"The container ended well, but left no result that can be read: {_tail(max(terminations, key=_end))}"
        return Broken(Reason.INTERNAL_ERROR, words, retry=True, result_lost=True)
    words = "The Job completed, but its pod is gone and its result with it; looking for it on the artifacts volume."
    return Broken(Reason.POD_LOST, words, retry=True, counted=False, result_lost=True)


def failure_of(child: Child, step: Step) -> Broken:
    """Why the Job failed."""
    decisive = decisive_end(child)
    if decisive is not None:
        return _blame(decisive, step)
    refused = next((pod for pod in child.pods if pod.reason or pod.message), None)
    return _refused_by_the_node(refused) if refused is not None else _pod_vanished(child)


AFTERSHOCKS = frozenset({ExitCode.DEFECT, ExitCode.INFRASTRUCTURE})
"""How the other pods may end when one that they work with is gone: the connection to it breaks."""


def decisive_end(child: Child) -> Termination | None:
    """The end that ended the Job. One that was preempted or stopped before does not count, for its Job made another
    pod. Of several pods that failed together, the first one that is no aftershock of another's end."""
    ended = [(pod, pod.termination) for pod in child.pods if pod.termination is not None]
    counted = [end for pod, end in ended if end.exit_code != ExitCode.DONE and not is_replaced(pod)]
    if counted:
        return min(counted, key=lambda end: (end.exit_code in AFTERSHOCKS, end.finished_at))
    return max((end for _, end in ended), key=_end, default=None)


def is_replaced(pod: PodView) -> bool:
    """Whether a pod that ended counts for nothing, since its Job makes another one."""
    stopped = pod.termination is not None and pod.termination.exit_code == ExitCode.STOPPED
    return stopped or bool(pod.disruption)


def _end(termination: Termination) -> str:
    return termination.finished_at


def _refused_by_the_node(pod: PodView) -> Broken:
    """The kubelet ended the pod before its container did: evicted, or refused on admission for a device."""
    words = f"Node {pod.node or 'unknown'} ended pod {pod.name} ({pod.reason or 'no reason given'}): {pod.message}"
    device = "UnexpectedAdmissionError" in pod.reason or "OutOfnvidia" in pod.reason
    return Broken(Reason.DEVICE_FAILED if device else Reason.POD_LOST, words, retry=True)


def _pod_vanished(child: Child) -> Broken:
    """The Job failed and no pod is left to tell why: it was deleted, or its node is gone."""
    warned = f" {child.warning.message}" if child.warning else ""
    message = f"The pod disappeared before it ended ({child.job.message or 'deleted'}).{warned}"
    return Broken(Reason.POD_LOST, message, retry=True)


_FAULTS: Mapping[int, tuple[Reason, bool]] = {
    ExitCode.USER: (Reason.ORDER_INVALID, False),
    ExitCode.INFRASTRUCTURE: (Reason.STORAGE_FAILED, True),
    ExitCode.STOPPED: (Reason.PREEMPTED, True),
    ExitCode.GPU_OUT_OF_MEMORY: (Reason.OUT_OF_MEMORY, True),
    ExitCode.NON_FINITE_LOSS: (Reason.NON_FINITE_LOSS, False),
    ExitCode.OVERHEATED: (Reason.OVERHEATED, True),
    ExitCode.DEADLINE_EXCEEDED: (Reason.DEADLINE_EXCEEDED, False),
}
"""By exit code: the reason where the container did not say a better one, and whether another attempt may help."""
_GOES_ON = frozenset({ExitCode.STOPPED, ExitCode.GPU_OUT_OF_MEMORY, ExitCode.OVERHEATED})
"""What a trainer ends with when it has saved how the next attempt goes on: later, in a smaller form, or when the GPU is
cool. None of them is a failure, and none can go on for ever: the forms come to an end, and a pause that followed no
work is told as InfrastructureError."""
_DEFECT = (Reason.INTERNAL_ERROR, True)


def _blame(termination: Termination, step: Step) -> Broken:
    """Whose fault it was: the container's exit code says, and the failure that it left tells the rest."""
    if termination.reason == MEMORY_KILL:
        return _out_of_host_memory(step)
    if termination.exit_code > SIGNALLED:
        return _killed(termination)
    reason, retry = _FAULTS.get(termination.exit_code, _DEFECT)
    failure = _read(termination)
    if not isinstance(failure, Failure):
        return Broken(reason, _last_words(termination), retry, counted=termination.exit_code != ExitCode.STOPPED)
    counted = termination.exit_code not in _GOES_ON
    told = failure.reason if termination.exit_code in _FAULTS else reason
    # What prepare had written is gone from the volume: only another prepare helps.
    again = told is Reason.PREPARATION_LOST
    return Broken(
        told,
        _with_errors(failure),
        retry,
        counted,
        result_lost=again,
        energy_kwh=failure.energy_kwh,
        deadline_seconds=failure.deadline_seconds,
    )


def _out_of_host_memory(step: Step) -> Broken:
    remedy = (
        "raise spec.resources.memory and the work goes on from its last checkpoint"
        if step in (Step.TRAIN, Step.EVALUATE)
        else "ask the administrator to raise stepResources.memory in the chart's values"
    )
    message = f"The {step.value} container took more host memory than its limit and was killed: {remedy}."
    return Broken(Reason.HOST_MEMORY_EXCEEDED, message, retry=False)


def _killed(termination: Termination) -> Broken:
    signal = termination.exit_code - SIGNALLED
    words = f"The container was killed from outside, by signal {signal}, before it could save its work."
    return Broken(Reason.POD_LOST, words, retry=True)


def _with_errors(failure: Failure) -> str:
    """The message with the first errors below it, as `kubectl describe` shows them."""
    lines = [failure.message, *(f"- {error}" for error in failure.errors)]
    hidden = failure.error_count - len(failure.errors)
    if failure.errors and hidden > 0:
        lines.append(f"- and {hidden} more, in prepare-errors.jsonl on the artifacts volume")
    return "\n".join(lines)


def _last_words(termination: Termination) -> str:
    return f"The container ended with exit code {termination.exit_code} ({termination.reason}): {_tail(termination)}"


def _tail(termination: Termination) -> str:
    tail = termination.message.strip().splitlines()[-1:] or ["no message; see the pod's log"]
    return tail[0][:500]
