"""How one attempt of a step stands: a table from what Job, pod and Events show to a state and its cause."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.results import Result
from finetune_operator.plan import outcomes, waiting
from finetune_operator.plan.outcomes import Broken
from finetune_operator.views import Child, Children, JobState, PodView

LAST_WORD_SECONDS = 20
"""How long a Job may have ended before its pod, which is watched apart, counts as lost."""


@dataclass(frozen=True)
class Absent:
    """No Job runs this attempt yet."""


@dataclass(frozen=True)
class Waiting:
    """No pod runs."""

    reason: Reason
    message: str
    look_again_seconds: float | None = None
    """When to look again though no event may come."""


@dataclass(frozen=True)
class Paused:
    """The next attempt waits for a pause after a failure."""

    seconds: float


@dataclass(frozen=True)
class Suspended:
    """The Job is held."""

    stopping: bool
    """Whether its pod is still saving its work."""
    by_others: bool = False
    """Whether Kueue or a person holds it, and not the resource's own spec."""
    reason: Reason = Reason.WAITING_FOR_QUOTA
    message: str = "The Job is suspended by hand, and not by spec.suspend: it waits to be let go."
    """Why, where others hold it."""


@dataclass(frozen=True)
class Running:
    """The pod works, or has ended and its Job is about to say so."""

    pod: PodView
    others: tuple[PodView, ...] = ()
    """Pods that work together with it."""

    @property
    def where(self) -> str:
        """Such as `on node a`."""
        nodes = sorted({pod.node for pod in (self.pod, *self.others)})
        return f"on node{'s' if len(nodes) > 1 else ''} {', '.join(nodes)}"


@dataclass(frozen=True)
class Done:
    """The step ended well."""

    result: Result


State = Absent | Waiting | Paused | Suspended | Running | Done | Broken


def state_of(children: Children, run: str, step: Step, attempt: int, now: datetime) -> State:
    """The state of a step: that of its latest attempt. One that still works counts whatever its number. One that
    failed counts as none once a later attempt began, and so does what prepare found: it is asked again where the
    status does not hold its answer."""
    attempts = children.of(run, step)
    if not attempts:
        return Absent()
    state = state_of_latest(attempts, step, now)
    over = isinstance(state, Broken) or (isinstance(state, Done) and step is Step.PREPARE)
    return Absent() if over and attempts[-1].job.owned.attempt < attempt else state


def state_of_latest(attempts: Sequence[Child], step: Step, now: datetime) -> State:
    """That of the last of these. A result that is lost again counts as a failure."""
    state = _state(attempts[-1], step, now)
    if isinstance(state, Broken) and state.result_lost:
        return replace(state, counted=state.counted or any(_lost_its_result(child) for child in attempts[:-1]))
    return state


def latest(children: Children, run: str, step: Step) -> Child | None:
    attempts = children.of(run, step)
    return attempts[-1] if attempts else None


def _lost_its_result(child: Child) -> bool:
    return child.job.state is JobState.COMPLETE and not _living(child) and outcomes.result_of(child) is None


def _state(child: Child, step: Step, now: datetime) -> State:
    """A result is taken wherever it shows itself first: the pod tells it before the Job is marked complete."""
    result = outcomes.result_of(child)
    if result is not None:
        return Done(result)
    if child.job.state is JobState.ACTIVE:
        return _active(child)
    living = _living(child)
    if living:
        return Running(*_spokesman(_newest_of_each_rank(living)))
    left = _seconds_to_wait_for_a_last_word(child, now)
    if left > 0:
        return Waiting(Reason.STARTING, "The Job ended; the last word of its pod is on the way.", left)
    return outcomes.without_result(child) if child.job.state is JobState.COMPLETE else outcomes.failure_of(child, step)


def _living(child: Child) -> list[PodView]:
    return [pod for pod in child.pods if pod.phase not in ("Succeeded", "Failed")]


def _newest(pods: Iterable[PodView]) -> PodView:
    """A Job has two pods while one that was preempted is being replaced."""
    return max(pods, key=lambda pod: (not pod.deleting, pod.created_at, pod.name))


def _newest_of_each_rank(pods: list[PodView]) -> list[PodView]:
    ranks = sorted({pod.rank for pod in pods})
    return [_newest(pod for pod in pods if pod.rank == rank) for rank in ranks]


def _spokesman(pods: list[PodView]) -> tuple[PodView, tuple[PodView, ...]]:
    """The pod with the lowest rank, and the others."""
    return pods[0], tuple(pods[1:])


def _seconds_to_wait_for_a_last_word(child: Child, now: datetime) -> float:
    """Jobs and pods are watched apart: a Job's end can arrive before anything of its pod does."""
    if child.pods or not child.job.ended_at:
        return 0.0
    return LAST_WORD_SECONDS - (now - datetime.fromisoformat(child.job.ended_at)).total_seconds()


def _active(child: Child) -> State:
    living = _living(child)
    if child.job.suspended:
        return Suspended(stopping=bool(living))
    if not living and child.pods:
        return _between_pods(child)
    pods = _newest_of_each_rank(living)
    laggard = next((pod for pod in pods if not pod.started_at or pod.deleting or pod.silent), None)
    if laggard is None and _is_complete(child, living):
        return Running(*_spokesman(pods))
    return Waiting(*waiting.cause(child, laggard))


def _is_complete(child: Child, living: list[PodView]) -> bool:
    """Whether there is a pod for each rank, one that has done its part included."""
    ended = (pod for pod in child.pods if pod not in living and not outcomes.is_replaced(pod))
    return len({pod.rank for pod in (*living, *ended)}) >= child.job.pods


def _between_pods(child: Child) -> State:
    """The last pod ended: its Job makes another one where it was stopped, and is about to end where it was not."""
    pods = _newest_of_each_rank(list(child.pods))
    if not all(outcomes.is_replaced(pod) for pod in pods):
        return Running(*_spokesman(pods))
    pod = _newest(pods)
    if child.warning is not None and child.warning.reason == waiting.FAILED_CREATE:
        return Waiting(*waiting.cause(child, None))
    return Waiting(*waiting.replaced(pod))
