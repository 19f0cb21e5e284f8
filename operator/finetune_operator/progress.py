"""Progress: the tail of each running pod's log, looked at now and then."""

import asyncio
import logging
import time
from collections.abc import Callable

from pydantic import ValidationError

from finetune_api.events import ProgressEvent, StageEvent, parse_event
from finetune_api.group import Step
from finetune_operator.cache import Cache
from finetune_operator.cluster import ApiError, Cluster
from finetune_operator.views import Key, PodView
from finetune_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

TAILS_PER_SECOND = 10
FOLLOWED = frozenset({Step.TRAIN, Step.EVALUATE})


def last_progress(log_tail: str) -> ProgressEvent | None:
    """The latest progress that the lines tell, with the stage that was begun since; other lines are passed over."""
    progress: ProgressEvent | None = None
    for line in log_tail.splitlines():
        try:
            event = parse_event(line)
        except ValidationError:
            continue
        if isinstance(event, ProgressEvent):
            progress = _with_what_it_leaves_out(event, progress)
        elif isinstance(event, StageEvent):
            progress = _in_stage(progress, event)
    return progress


def _with_what_it_leaves_out(event: ProgressEvent, before: ProgressEvent | None) -> ProgressEvent:
    """Loss and speed are told by steps; what is told while the guard rests, or at a look at the validation loss, has
    none, and the last ones still hold."""
    if before is None:
        return event
    known = {field: getattr(before, field) for field in ("loss", "tokens_per_second") if getattr(event, field) is None}
    return event.model_copy(update=known)


def _in_stage(progress: ProgressEvent | None, event: StageEvent) -> ProgressEvent:
    if progress is None:
        return ProgressEvent(time=event.time, step=0, steps=0, stage=event.stage)
    return progress.model_copy(update={"stage": event.stage, "time": event.time})


class ProgressFollower:
    """Looks at one running pod after the other, each at most once an interval."""

    def __init__(
        self,
        cache: Cache,
        cluster: Cluster,
        queue: WorkQueue[Key],
        interval_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._cache = cache
        self._cluster = cluster
        self._queue = queue
        self._interval = interval_seconds
        self._looked: dict[str, float] = {}

    async def follow(self) -> None:
        """Until it is cancelled."""
        while True:
            for pod in self._due()[:TAILS_PER_SECOND]:
                await self._look(pod)
            await asyncio.sleep(1)

    def _due(self) -> list[PodView]:
        now = self._clock()
        running = {pod.uid: pod for pod in self._cache.speaking_pods() if pod.owned.step in FOLLOWED}
        self._looked = {uid: at for uid, at in self._looked.items() if uid in running}
        due = [pod for uid, pod in running.items() if now - self._looked.get(uid, -self._interval) >= self._interval]
        return sorted(due, key=lambda pod: self._looked.get(pod.uid, 0.0))

    async def _look(self, pod: PodView) -> None:
        self._looked[pod.uid] = self._clock()
        try:
            progress = last_progress(await self._cluster.log_tail(pod.namespace, pod.name))
        except (ApiError, OSError) as error:
            log.info("no progress of pod %s/%s: %s", pod.namespace, pod.name, error)
            return
        if progress is not None and self._cache.put_progress(pod, progress):
            key = self._cache.owner_key(pod)
            if key is not None:
                self._queue.add(key)
