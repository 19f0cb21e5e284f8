"""What becomes of resources: told by each status that another one follows, whoever wrote it and however it came."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Counter, Histogram

from finetune_api.conditions import ConditionStatus, ConditionType, Reason
from finetune_api.group import Kind
from finetune_api.queue_order import Lane
from finetune_api.verdicts import Verdict
from finetune_operator.metrics.bounds import known_reason
from finetune_operator.metrics.census import COUNTED
from finetune_operator.views import AnyResource

MINUTE, HOUR, DAY = 60, 3600, 86400
PHASE_SECONDS = Histogram(
    "finetune_phase_duration_seconds",
    "Time that a resource was in a phase, told when it leaves it.",
    ["kind", "phase"],
    buckets=(
        1,
        5,
        15,
        MINUTE,
        5 * MINUTE,
        15 * MINUTE,
        HOUR / 2,
        HOUR,
        2 * HOUR,
        4 * HOUR,
        8 * HOUR,
        DAY,
        3 * DAY,
        7 * DAY,
    ),
)
WAIT_SECONDS = Histogram(
    "finetune_queue_wait_seconds",
    "Time that what asks for GPUs was queued before it began to compute.",
    ["kind", "lane"],
    buckets=(5, 15, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR / 2, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, DAY, 3 * DAY),
)
FINISHED = Counter(
    "finetune_runs_finished_total", "Runs that ended, by the phase that they ended in.", ["kind", "phase"]
)
RETRIES = Counter(
    "finetune_retries_total",
    "Attempts that another one follows, by cause, and whether they count against retry.limit.",
    ["kind", "cause", "counted"],
)
INTERRUPTIONS = Counter(
    "finetune_interruptions_total", "Work that waits for GPUs again within its attempt, by reason.", ["kind", "reason"]
)
VERDICTS = Counter(
    "finetune_verdicts_total", "Verdicts of Comparisons, on candidates and on recipes.", ["about", "verdict"]
)

CANDIDATE, RECIPE = "candidate", "recipe"
ENDS = ("Succeeded", "Failed")
COMPUTING = frozenset({"Training", "Evaluating"})
NO_CAUSES = frozenset(
    {
        Reason.STARTING,
        Reason.PREPARING,
        Reason.RUNNING,
        Reason.SUSPENDED,
        Reason.WAITING_FOR_GPU,
        Reason.WAITING_FOR_NODE,
        Reason.WAITING_FOR_QUOTA,
        Reason.WAITING_FOR_VOLUME,
        Reason.WAITING_FOR_IMAGE,
        Reason.POD_REFUSED,
    }
)
"""Of an attempt that takes another one's place though nothing failed: a Job that waited, and whose spec was edited."""


def _begin_at_zero() -> None:
    """A series that appears with its first event looks to Prometheus as if nothing had happened."""
    for kind in COUNTED:
        for phase in ENDS:
            FINISHED.labels(kind.value, phase)
    for verdict in Verdict:
        for about in (CANDIDATE, RECIPE):
            VERDICTS.labels(about, verdict.value)


_begin_at_zero()


def utc_now() -> datetime:
    return datetime.now(UTC)


class Chronicle:
    """Compares what is known of a resource with what comes after it. Remembers of each that has not ended when its
    phase began; of one that was there before the operator, its conditions may tell."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._since: dict[str, datetime] = {}

    @property
    def remembered(self) -> int:
        """How many."""
        return len(self._since)

    def gone(self, uid: str) -> None:
        self._since.pop(uid, None)

    def changed(self, before: AnyResource, after: AnyResource) -> None:
        if before.uid != after.uid:
            self.gone(before.uid)
            return
        if before.key.kind not in COUNTED:
            return
        old, new = _phase(before), _phase(after)
        is_retried = _is_retried(before, after)
        if is_retried:
            counted = after.status.failures > before.status.failures
            RETRIES.labels(after.key.kind.value, known_reason(_cause(after)), str(counted).lower()).inc()
        if old == new:
            return
        self._leave(before, old, new)
        if new in ENDS:
            FINISHED.labels(after.key.kind.value, new).inc()
            _count_verdicts(after)
        elif old in COMPUTING and new == "Queued" and not is_retried:
            INTERRUPTIONS.labels(after.key.kind.value, known_reason(_reason(after, ConditionType.COMPLETE))).inc()

    def _leave(self, before: AnyResource, old: str, new: str) -> None:
        now = self._clock()
        began = self._since.pop(before.uid, None) or _told_beginning(before, old)
        if new and new not in ENDS:
            self._since[before.uid] = now
        if not old or old in ENDS or began is None:
            return
        seconds, kind = max(0.0, (now - began).total_seconds()), before.key.kind.value
        PHASE_SECONDS.labels(kind, old).observe(seconds)
        if old == "Queued" and new in COMPUTING and before.spec.resources.gpus:
            lane = Lane.KUEUE if before.spec.queue_name is not None else Lane.SCHEDULER
            WAIT_SECONDS.labels(kind, lane.value).observe(seconds)


def _phase(resource: AnyResource) -> str:
    """Empty before the first one."""
    phase = resource.status.phase
    return str(phase.value) if phase is not None else ""


BEGINNINGS = {
    "Queued": (ConditionType.VALIDATED, ConditionType.SCHEDULED),
    "Training": (ConditionType.SCHEDULED,),
    "Evaluating": (ConditionType.SCHEDULED,),
    "Suspended": (ConditionType.SUSPENDED,),
}
"""Conditions whose status turns when a phase begins."""


def _told_beginning(resource: AnyResource, phase: str) -> datetime | None:
    """None where no condition tells it, or tells what is no time: somebody may have written it by hand."""
    wanted = BEGINNINGS.get(phase, ())
    turns = [item.last_transition_time for item in resource.status.conditions if item.type in wanted]
    try:
        told = datetime.fromisoformat(max(turns, default=""))
    except ValueError:
        return None
    return told if told.tzinfo is not None else None


def _is_retried(before: AnyResource, after: AnyResource) -> bool:
    """Whether another attempt of the same run follows, and not because of an edit."""
    old, new = before.status.run, after.status.run
    if old is None or new is None or (old.digest, old.started_at) != (new.digest, new.started_at):
        return False
    return bool(new.attempt > old.attempt and _cause(after) not in NO_CAUSES)


def _cause(resource: AnyResource) -> str:
    """The reason that is told of what is not done yet. An edit that waits has a word of its own in Complete alone."""
    reason = _reason(resource, ConditionType.COMPLETE)
    if reason == Reason.SPEC_CHANGE_PENDING:
        return _reason(resource, ConditionType.TRAINED, ConditionType.EVALUATED) or reason
    return reason


def _reason(resource: AnyResource, *types: ConditionType) -> str:
    conditions = resource.status.conditions
    open_ones = (item.reason for item in conditions if item.type in types and item.status is ConditionStatus.FALSE)
    return next(open_ones, "")


def _count_verdicts(ended: AnyResource) -> None:
    if ended.key.kind is not Kind.COMPARISON or _phase(ended) != "Succeeded":
        return
    status = ended.status
    _count(CANDIDATE, (candidate.verdict for candidate in status.candidates))
    _count(RECIPE, [status.recipe.verdict] if status.recipe is not None else [])


def _count(about: str, verdicts: Iterable[Any]) -> None:
    for verdict in verdicts:
        if verdict is not None:
            VERDICTS.labels(about, verdict.value).inc()
