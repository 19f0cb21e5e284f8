"""What the status keeps of each attempt, since its Job and pods are gone one day."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from finetune_api.group import Step
from finetune_api.results import TrainResult
from finetune_api.runs import Attempt
from finetune_operator.plan import attempts, outcomes
from finetune_operator.plan.attempts import Done, State
from finetune_operator.plan.outcomes import Broken
from finetune_operator.views import Child, Children, PodView, Termination

KEPT = 10
SUCCEEDED = "Succeeded"


def with_what_is_seen(
    known: tuple[Attempt, ...], children: Children, run: str, step: Step, now: datetime
) -> tuple[Attempt, ...]:
    """The latest attempts, oldest first. What was told once of an attempt that ended stays told: later its pod is gone,
    and nothing new can be learnt of it. One that never ran is none."""
    history = {attempt.number: attempt for attempt in known}
    for sight in _sights(children, run, step, now):
        number = sight.child.job.owned.attempt
        before = history.get(number)
        if before is None or before.ended_at is None or not sight.is_over:
            history[number] = _attempt(sight, before)
    return tuple(history[number] for number in sorted(history))[-KEPT:]


@dataclass(frozen=True)
class _Sight:
    """An attempt that began, as the cluster shows it."""

    child: Child
    state: State

    @property
    def is_over(self) -> bool:
        return isinstance(self.state, Done | Broken)


def _sights(children: Children, run: str, step: Step, now: datetime) -> Iterator[_Sight]:
    of_step = children.of(run, step)
    for index, child in enumerate(of_step):
        sight = _Sight(child, attempts.state_of_latest(of_step[: index + 1], step, now))
        if began(child) or sight.is_over:
            yield sight


def began(child: Child) -> bool:
    """Whether one of its containers ever ran."""
    return any(pod.started_at or pod.termination is not None for pod in child.pods)


def _attempt(sight: _Sight, before: Attempt | None) -> Attempt:
    child, state = sight.child, sight.state
    end = outcomes.decisive_end(child) if sight.is_over else None
    return Attempt(
        number=child.job.owned.attempt,
        started_at=(before.started_at if before else None) or _started(child),
        ended_at=_ended(end, child) if sight.is_over else None,
        node=in_short(nodes(child)) or (before.node if before else None),
        exit_code=end.exit_code if end is not None else None,
        reason=_reason(state),
        counted=isinstance(state, Broken) and state.retry and state.counted,
        step_reached=_reached(state, child, before),
    )


def _ended(end: Termination | None, child: Child) -> str | None:
    return (end.finished_at if end is not None else "") or child.job.ended_at or None


def _started(child: Child) -> str | None:
    """When the first of its containers started."""
    starts = [pod.started_at or (pod.termination.started_at if pod.termination else "") for pod in child.pods]
    return min((start for start in starts if start), default=None)


def nodes(child: Child) -> list[str]:
    """Those that its newest pods run on, by the pods' number."""
    placed = [pod for pod in child.pods if pod.node]
    ranks = sorted({pod.rank for pod in placed})
    newest = [_newest(pod for pod in placed if pod.rank == rank) for rank in ranks]
    return list(dict.fromkeys(pod.node for pod in newest))


def in_short(names: Sequence[str]) -> str:
    """Of several nodes, the first one and how many more; empty for none."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "") if names else ""


def _newest(pods: Iterator[PodView]) -> PodView:
    return max(pods, key=lambda pod: (pod.created_at, pod.name))


def _reason(state: State) -> str | None:
    match state:
        case Done():
            return SUCCEEDED
        case Broken(reason):
            return reason.value
    return None


def _reached(state: State, child: Child, before: Attempt | None) -> int | None:
    if isinstance(state, Done) and isinstance(state.result, TrainResult):
        return state.result.training.steps
    told = [child.progress.step] if child.progress is not None else []
    if before is not None and before.step_reached is not None:
        told.append(before.step_reached)
    return max(told, default=None)
