"""One reconcile: observe, plan, apply. And the workers that do it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from finetune_operator.apply import Applier, OutdatedError
from finetune_operator.cache import Cache
from finetune_operator.cluster import ApiError, Cluster
from finetune_operator.metrics import reconciles
from finetune_operator.metrics.reconciles import Failing
from finetune_operator.observe import dependents, observe
from finetune_operator.observed import (
    Observed,
    ObservedComparison,
    ObservedEvaluation,
    ObservedFineTunedModel,
    ObservedFineTuneJob,
)
from finetune_operator.plan import comparison, evaluation, finetunedmodel, finetunejob
from finetune_operator.plan.actions import Plan
from finetune_operator.settings import Settings
from finetune_operator.views import AnyResource, Key
from finetune_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


def plan(observed: Observed, now: datetime) -> Plan:
    """What to do, by kind."""
    match observed:
        case ObservedFineTuneJob():
            return finetunejob.plan(observed, now)
        case ObservedEvaluation():
            return evaluation.plan(observed, now)
        case ObservedComparison():
            return comparison.plan(observed, now)
        case ObservedFineTunedModel():
            return finetunedmodel.plan(observed, now)


class Reconciler:
    """Takes keys from the queue and works on them."""

    def __init__(
        self,
        cache: Cache,
        cluster: Cluster,
        queue: WorkQueue[Key],
        settings: Settings,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._clock = clock
        self._cache = cache
        self._cluster = cluster
        self._queue = queue
        self._settings = settings

    async def work(self) -> None:
        """Until it is cancelled. A failure of one resource delays that resource alone."""
        while True:
            key = await self._queue.get()
            try:
                with reconciles.timed(key.kind):
                    await self._reconcile(key)
                self._queue.done(key)
            except asyncio.CancelledError:
                raise
            except ApiError as error:
                self._delay(key, Failing.REFUSED, error, error.retry_after_seconds)
            except (OSError, TimeoutError) as error:
                self._delay(key, Failing.NO_ANSWER, error)
            except Exception as error:  # a defect must not end the worker: it would end the work of all resources
                log.exception("defect while reconciling %s %s/%s", key.kind, key.namespace, key.name)
                self._delay(key, Failing.DEFECT, error)

    def _delay(self, key: Key, cause: Failing, error: BaseException, not_before_seconds: float = 0.0) -> None:
        reconciles.failed(key.kind, cause)
        pause = self._queue.failed(key, not_before_seconds)
        log.warning("%s %s/%s: %s; again in %.1f s", key.kind, key.namespace, key.name, error, pause)

    async def _reconcile(self, key: Key) -> None:
        observed = observe(self._cache, key, self._settings)
        resource = self._cache.resource(key)
        if observed is None or resource is None:
            return
        now = self._clock()
        decided = plan(observed, now)
        changed = await self._apply(decided, Applier(resource, self._cluster, self._cache, now))
        self._wake_dependents(key, resource)
        if changed:
            self._queue.add(key)
        elif decided.look_again_seconds is not None:
            self._queue.add_after(key, decided.look_again_seconds)

    async def _apply(self, decided: Plan, applier: Applier) -> bool:
        """Whether there is something new to plan for at once."""
        changed = False
        try:
            for action in decided.actions:
                changed = await applier.carry_out(action) or changed
        except OutdatedError:
            return True
        return changed

    def _wake_dependents(self, key: Key, before: AnyResource) -> None:
        """Our own write is in the cache already; the watch's echo of it may be passed over as old news."""
        after = self._cache.resource(key)
        if after is None or after.resource_version == before.resource_version:
            return
        for dependent in dependents(self._cache, after):
            if dependent != key:
                self._queue.add(dependent)

    async def resync(self) -> None:
        """Every resource now and then, from the cache: an event may have been lost."""
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            for key in self._cache.all_keys():
                self._queue.add(key)
