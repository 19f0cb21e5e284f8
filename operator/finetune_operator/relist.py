"""Now and then, what is known is compared with what there is. After a gap a watch lists what is left, and does not tell
what was deleted meanwhile: a Job that is gone would be waited for, for ever."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from finetune_api.group import API_VERSION, MANAGER, Kind, Label
from finetune_operator.cache import Cache
from finetune_operator.cluster import TOO_MANY_REQUESTS, ApiError, Cluster
from finetune_operator.intake import Intake
from finetune_operator.kueue_workloads import KUEUE_GROUP
from finetune_operator.settings import Settings
from finetune_operator.views import GPU_MEMORY_LABEL

log = logging.getLogger(__name__)

OURS = f"{Label.MANAGED_BY.value}={MANAGER}"
"""Selects the Jobs and pods that the operator made."""
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
Look = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Inventory:
    """What there was of one kind at one moment."""

    namespace: str
    """Empty for all."""
    uids: frozenset[str]
    resource_version: int

    def lacks(self, namespace: str, uid: str, resource_version: int) -> bool:
        """Whether an object that is known must have been deleted; one that was made since may be missing."""
        listed = self.namespace in ("", namespace)
        return listed and uid not in self.uids and resource_version <= self.resource_version


class Relist:
    """Lists everything that is watched, and forgets what is not there any more."""

    def __init__(self, cache: Cache, cluster: Cluster, intake: Intake, settings: Settings) -> None:
        self._cache = cache
        self._cluster = cluster
        self._intake = intake
        self._interval = settings.relist_seconds
        self._namespaces = settings.namespaces or ("",)
        self._watches_nodes = settings.watches_nodes
        self._watches_workloads = settings.kueue.enabled

    async def repeat(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            for look in self._looks():
                await self._until_answered(look)

    async def _until_answered(self, look: Look) -> None:
        """Each by itself: where every third request fails, all of them in a row would hardly ever succeed. What may not
        be listed, or is not there, waits for the next time."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await look()
                return
            except ApiError as error:
                if error.status < 500 and error.status != TOO_MANY_REQUESTS:
                    log.warning("cannot list what there is: %s; again in %.0f s", error, self._interval)
                    return
                pause = max(pause, min(error.retry_after_seconds, LONGEST_PAUSE_SECONDS))
                log.warning("cannot list what there is: %s; again in %.0f s", error, pause)
            except OSError as error:
                log.warning("cannot list what there is: %r; again in %.0f s", error, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def once(self) -> None:
        for look in self._looks():
            await look()

    def _looks(self) -> Iterator[Look]:
        for namespace in self._namespaces:
            for kind in Kind:
                yield partial(self._resources, kind, namespace)
            yield partial(self._pods, namespace)
            yield partial(self._jobs, namespace)
        if self._watches_nodes:
            yield self._nodes
        if self._watches_workloads:
            yield self._workloads

    async def _resources(self, kind: Kind, namespace: str) -> None:
        def take(body: Mapping[str, Any]) -> None:
            self._intake.resource(kind, body)

        inventory = await self._inventory(API_VERSION, kind.value, namespace, "", take)
        for key in self._cache.all_keys():
            known = self._cache.resource(key) if key.kind is kind else None
            if known is not None and inventory.lacks(key.namespace, known.uid, known.resource_version):
                self._intake.forget(known, key, known.uid)

    async def _jobs(self, namespace: str) -> None:
        inventory = await self._inventory("batch/v1", "Job", namespace, OURS, self._intake.job)
        for job in self._cache.all_jobs():
            if inventory.lacks(job.namespace, job.uid, job.resource_version):
                self._intake.forget_job(replace(job, resource_version=inventory.resource_version))

    async def _pods(self, namespace: str) -> None:
        inventory = await self._inventory("v1", "Pod", namespace, OURS, self._intake.pod)
        for pod in self._cache.all_pods():
            if inventory.lacks(pod.namespace, pod.uid, pod.resource_version):
                self._intake.forget_pod(replace(pod, resource_version=inventory.resource_version))

    async def _nodes(self) -> None:
        """By name: a node that is made anew is the same machine."""
        names: set[str] = set()

        def take(body: Mapping[str, Any]) -> None:
            names.add(body["metadata"]["name"])
            self._intake.node(body)

        inventory = await self._inventory("v1", "Node", "", GPU_MEMORY_LABEL, take)
        for node in self._cache.nodes.all():
            if node.name not in names and node.resource_version <= inventory.resource_version:
                self._cache.nodes.drop(node.name)

    async def _workloads(self) -> None:
        """Those of Kueue's, where it is installed; it may have come after us, and then nobody watches them."""
        version = await self._cluster.preferred_version(KUEUE_GROUP)
        if version is None:
            return
        for namespace in self._namespaces:
            inventory = await self._inventory(version, "Workload", namespace, "", self._intake.workload)
            for known in self._cache.workloads.all():
                if inventory.lacks(known.namespace, known.uid, known.resource_version):
                    self._intake.forget_workload(known)

    async def _inventory(
        self, api_version: str, kind: str, namespace: str, selector: str, take: Callable[[Mapping[str, Any]], None]
    ) -> Inventory:
        """Page by page, so that only the views of many objects are ever in memory."""
        uids: set[str] = set()
        version = 0
        async for page in self._cluster.pages(api_version, kind, namespace, selector):
            version = page.resource_version
            for body in page.items:
                uids.add(body["metadata"]["uid"])
                take(body)
        return Inventory(namespace, frozenset(uids), version)
