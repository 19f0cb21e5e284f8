"""A look at the queue for GPUs now and then: metrics, an estimate for those in front, an Event for who waits long."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prometheus_client import Gauge

from finetune_api.durations import duration
from finetune_api.queue_order import Lane, Place, Work, places
from finetune_api.runs import QueuePosition
from finetune_operator import turns
from finetune_operator.apply import Applier
from finetune_operator.cache import Cache
from finetune_operator.cluster import ApiError, Cluster
from finetune_operator.plan.actions import EmitEvent
from finetune_operator.plan.conditions import timestamp
from finetune_operator.views import AnyResource, Key
from finetune_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
ESTIMATED = 20
"""How many of each lane are told their place."""
ESTIMATE_LASTS = timedelta(minutes=5)
LONG_WAIT = timedelta(hours=2)

LENGTH = Gauge("finetune_queue_length", "FineTuneJobs and Evaluations that wait for GPUs.", ["lane"])
OLDEST = Gauge(
    "finetune_queue_oldest_wait_seconds", "How long the one of them has waited that waits longest.", ["lane"]
)
POSITION = Gauge(
    "finetune_queue_position",
    "Place of those in front, up to 20 a lane; 1 is next.",
    ["lane", "namespace", "kind", "name"],
)


@dataclass(frozen=True)
class Waiter:
    """One that waits, with its place."""

    resource: AnyResource
    place: Place
    since: str

    def waited(self, now: datetime) -> timedelta:
        return now - datetime.fromisoformat(self.since)


def utc_now() -> datetime:
    return datetime.now(UTC)


class QueueWatch:
    """Costs one pass over what is known, and no request but for an Event."""

    def __init__(
        self, cache: Cache, cluster: Cluster, queue: WorkQueue[Key], clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._cache = cache
        self._cluster = cluster
        self._queue = queue
        self._clock = clock
        self._told: set[tuple[str, str]] = set()
        """uid and beginning of the waits that an Event tells of; after a restart it is refused by its name."""

    async def follow(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        now = self._clock()
        waiters = self._waiters()
        measure(waiters, now)
        for key in self._cache.estimates.replace(self._estimates(waiters, now)):
            self._queue.add(key)
        await self._tell_of_long_waits(waiters, now)

    def _waiters(self) -> list[Waiter]:
        found: dict[Key, tuple[AnyResource, Work]] = {}
        for key in self._cache.all_keys():
            resource = self._cache.resource(key) if key.kind in turns.QUEUED_KINDS else None
            work = self._work(resource) if resource is not None else None
            if resource is not None and work is not None:
                found[key] = (resource, work)
        standing = places(work for _, work in found.values())
        return [self._waiter(found[_key(place.work)][0], place) for place in standing]

    def _work(self, resource: AnyResource) -> Work | None:
        """Most of what there is has ended: its children are not looked for."""
        phase = resource.status.phase
        waits_or_runs = phase is not None and phase.value in turns.PHASES
        return turns.work(resource, self._cache.children(resource.uid)) if waits_or_runs else None

    def _waiter(self, resource: AnyResource, place: Place) -> Waiter:
        return Waiter(resource, place, turns.waits_since(place.work, self._cache.children(resource.uid)))

    def _estimates(self, waiters: Iterable[Waiter], now: datetime) -> dict[Key, QueuePosition]:
        heads = (waiter for waiter in waiters if waiter.place.position <= ESTIMATED)
        return {
            waiter.resource.key: renewed(self._cache.estimates.of(waiter.resource), waiter.place, now)
            for waiter in heads
        }

    async def _tell_of_long_waits(self, waiters: Iterable[Waiter], now: datetime) -> None:
        long = {(waiter.resource.uid, waiter.since): waiter for waiter in waiters if waiter.waited(now) >= LONG_WAIT}
        self._told &= long.keys()
        for wait, waiter in long.items():
            if wait in self._told:
                continue
            try:
                applier = Applier(waiter.resource, self._cluster, self._cache, now)
                await applier.carry_out(long_wait(waiter))
            except (ApiError, OSError, TimeoutError) as error:
                log.warning("an Event cannot be written: %s; again in %.0f s", error, LOOK_SECONDS)
            else:
                self._told.add(wait)


def _key(work: Work) -> Key:
    return Key(work.kind, work.namespace, work.name)


def renewed(known: QueuePosition | None, place: Place, now: datetime) -> QueuePosition:
    """What is told already, unless it is old and not true any more."""
    start = place.starts_in_seconds
    fresh = QueuePosition(
        position=place.position,
        ahead=place.ahead,
        ahead_elsewhere=place.ahead_elsewhere,
        starts_in=duration(start) if start is not None else None,
        estimated_at=timestamp(now),
    )
    if known is None:
        return fresh
    same = fresh.model_copy(update={"estimated_at": known.estimated_at}) == known
    young = now - datetime.fromisoformat(known.estimated_at) < ESTIMATE_LASTS
    return known if same or young else fresh


def long_wait(waiter: Waiter) -> EmitEvent:
    place, run = waiter.place, waiter.resource.status.run
    message = (
        f"Waits for GPUs since {waiter.since} ({place.work.reason}): number {place.position} in the queue, with "
        f"{place.ahead} pods of this namespace and {place.ahead_elsewhere} of others in front."
    )
    about = (waiter.resource.uid, run.digest if run is not None else "", "long-wait", waiter.since)
    return EmitEvent("LongWait", message, warning=True, about=about)


def measure(waiters: Sequence[Waiter], now: datetime) -> None:
    """Names only of those in front, so that their number is bounded."""
    of_lane = {lane: [waiter for waiter in waiters if waiter.place.work.lane is lane] for lane in Lane}
    POSITION.clear()
    for lane, waiting in of_lane.items():
        LENGTH.labels(lane.value).set(len(waiting))
        waits = (waiter.waited(now).total_seconds() for waiter in waiting)
        OLDEST.labels(lane.value).set(max(waits, default=0.0))
        for waiter in waiting[:ESTIMATED]:
            key = waiter.resource.key
            POSITION.labels(lane.value, key.namespace, key.kind.value, key.name).set(waiter.place.position)
