"""The operator as it is, with the API server behind requests that can fail and watches that can lie."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from finetune_api.group import Kind
from finetune_operator.cache import Cache
from finetune_operator.cluster import TOO_MANY_REQUESTS, ApiError, Body, Cluster, Page
from finetune_operator.intake import Intake
from finetune_operator.kueue_workloads import BOOST_ANNOTATION, KueueWorkload
from finetune_operator.metrics.chronicle import Chronicle
from finetune_operator.queue_watch import QueueWatch
from finetune_operator.reconcile import Reconciler
from finetune_operator.relist import Relist
from finetune_operator.settings import Settings
from finetune_operator.views import Key
from finetune_operator.workqueue import WorkQueue

from . import virtual_time
from .api_server import OUR_KINDS, ApiServer, Change
from .weather import Weather

Answer = TypeVar("Answer")
LONGEST_RETRY_AFTER_SECONDS = 20
BeforeAndAfter = Callable[[str], None]
"""Called with `before` and `after` around every write; it may kill the operator."""


class SimulatedCluster(Cluster):
    """Every request takes a moment each way, and may fail before or after it is carried out."""

    def __init__(self, server: ApiServer, random: Random, weather: Weather, watch_writes: BeforeAndAfter) -> None:
        self._server = server
        self._random = random
        self._weather = weather
        self._watch_writes = watch_writes
        self._not_before: dict[tuple[Kind, str], float] = {}
        self.came_too_soon: list[tuple[Kind, str]] = []
        """Statuses that were written though the API server had asked to wait longer."""

    async def _under_way(self) -> None:
        await asyncio.sleep(self._random.uniform(0, self._weather.request_seconds))

    def _fails(self) -> bool:
        return self._random.random() < self._weather.failing / 2

    async def _fail(self) -> None:
        if self._random.random() < 0.5:
            raise ApiError(self._random.choice([500, 503, 504]), "the API server is not well")
        await asyncio.sleep(30)
        raise TimeoutError

    async def _ask(self, carry_out: Callable[[], Answer]) -> Answer:
        await self._under_way()
        if self._server.down:
            raise ConnectionRefusedError
        if self._fails():
            await self._fail()
        answer = carry_out()
        await self._under_way()
        if self._fails():
            await self._fail()
        return answer

    async def _write(self, carry_out: Callable[[], Answer]) -> Answer:
        def watched() -> Answer:
            self._watch_writes("before")
            answer = carry_out()
            self._watch_writes("after")
            return answer

        return await self._ask(watched)

    def _throttle(self, kind: Kind, name: str) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._not_before.get((kind, name), now):
            self.came_too_soon.append((kind, name))
        if self._random.random() < self._weather.throttled:
            seconds = float(self._random.randint(1, LONGEST_RETRY_AFTER_SECONDS))
            self._not_before[kind, name] = now + seconds
            raise ApiError(TOO_MANY_REQUESTS, "too many requests, please try again later", seconds)

    async def create(self, manifest: Body) -> Body:
        return await self._write(lambda: self._server.create(dict(manifest)))

    async def get(self, kind: str, api_version: str, namespace: str, name: str) -> Body:
        return await self._ask(lambda: self._server.read(kind, name))

    async def pages(self, api_version: str, kind: str, namespace: str, selector: str = "") -> AsyncIterator[Page]:
        yield await self._ask(lambda: Page(tuple(self._server.all(kind)), self._server.version))

    async def apply_status(self, kind: Kind, namespace: str, name: str, version: int, status: Body) -> Body:
        self._throttle(kind, name)
        return await self._write(lambda: self._server.apply_status(kind.value, name, version, dict(status)))

    async def add_owners(
        self, kind: str, api_version: str, namespace: str, name: str, uid: str, owners: Sequence[Body], manager: str
    ) -> Body:
        references = [dict(owner) for owner in owners]
        return await self._write(lambda: self._server.add_owners(kind, name, uid, references))

    async def set_suspended(self, namespace: str, name: str, uid: str, suspend: bool) -> Body:
        return await self._write(lambda: self._server.set_suspended(name, uid, suspend))

    async def set_ttl(self, namespace: str, name: str, uid: str, seconds: int) -> Body:
        return await self._write(lambda: self._server.set_ttl(name, uid, seconds))

    async def set_replicate_suspended(self, namespace: str, name: str, uid: str, suspend: bool) -> Body:
        return await self._write(lambda: self._server.set_replicate_suspended(name, uid, suspend))

    async def preferred_version(self, group: str) -> str | None:
        return await self._ask(lambda: "kueue.x-k8s.io/v1beta2" if self._server.all("Workload") else None)

    async def set_active(self, workload: KueueWorkload, active: bool) -> Body:
        name, uid = workload.name, workload.uid
        return await self._write(lambda: self._server.change_workload(name, uid, {"active": active}, {}))

    async def set_boost(self, workload: KueueWorkload, boost: int) -> Body:
        name, uid, annotations = workload.name, workload.uid, {BOOST_ANNOTATION: str(boost)}
        return await self._write(lambda: self._server.change_workload(name, uid, {}, annotations))

    async def delete(
        self, api_version: str, kind: str, namespace: str, name: str, uid: str, version: int | None = None
    ) -> None:
        try:
            await self._write(lambda: self._server.delete(kind, name, uid, version))
        except ApiError as error:
            if error.status not in (404, 409):
                raise


class SimulatedOperator:
    """One process: what it holds in memory is gone when it is killed."""

    def __init__(
        self, server: ApiServer, settings: Settings, random: Random, weather: Weather, watch_writes: BeforeAndAfter
    ) -> None:
        self._server = server
        self._settings = settings
        self._random = random
        self._weather = weather
        self.cache = Cache(Chronicle(virtual_time.now))
        self.queue: WorkQueue[Key] = WorkQueue(asyncio.get_running_loop().time)
        self._intake = Intake(self.cache, self.queue)
        self.cluster = SimulatedCluster(server, random, weather, watch_writes)
        self._tasks: list[asyncio.Task[None]] = []
        self._alive = False
        self._heard: list[Change] = []
        """What was sent on its way, also what never came."""
        self._held: list[Change] | None = None
        """What a frozen watch did not bring yet."""

    def start(self) -> None:
        """As kopf does: first what there is, then what changes, then the work."""
        self._alive = True
        self._server.watchers.append(self._hear)
        for kind in Kind:
            for body in self._server.all(kind.value):
                self._intake.resource(kind, body, quietly=True)
        for body in self._server.all("Job"):
            self._intake.job(body, quietly=True)
        for body in self._server.all("Pod"):
            self._intake.pod(body, quietly=True)
        for body in self._server.all("Workload"):
            self._intake.workload(body, quietly=True)
        for key in self.cache.all_keys():
            self.queue.add(key)
        reconciler = Reconciler(self.cache, self.cluster, self.queue, self._settings, virtual_time.now)
        relist = Relist(self.cache, self.cluster, self._intake, self._settings)
        for _ in range(self._settings.workers):
            self._run(reconciler.work())
        self._run(reconciler.resync())
        self._run(relist.repeat())
        self._run(QueueWatch(self.cache, self.cluster, self.queue, virtual_time.now).follow())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is tidied up."""
        self._alive = False
        self._server.watchers.remove(self._hear)
        for task in self._tasks:
            task.cancel()

    def _hear(self, change: Change) -> None:
        """An event on its way, or on two ways, or on none."""
        loop = asyncio.get_running_loop()
        if self._held is not None:
            self._held.append(change)
            return
        if self._server.down:
            return
        self._heard.append(change)
        if self._weather.lost_event == len(self._heard) - 1:
            return
        if self._random.random() >= self._weather.lost:
            loop.call_later(self._random.uniform(0, self._weather.event_delay_seconds), self._take, change)
        if self._random.random() < self._weather.repeated:
            loop.call_later(self._random.uniform(0, 3 * self._weather.event_delay_seconds), self._take, change)

    def freeze_watches(self) -> None:
        """The connections stay open, and nothing comes any more."""
        self._held = []

    def connect_anew(self, *, expired: bool) -> None:
        """As kopf does when a watch was silent for too long: from the last version that it heard of. When the API
        server does not remember that (410), it lists what there is; nobody tells then what was deleted meanwhile."""
        missed, self._held = self._held or [], None
        if expired:
            there = list(self._server.objects.values())
            missed = [Change("MODIFIED", copy.deepcopy(body)) for body in there]
        for change in missed:
            self._take(change)

    @property
    def events(self) -> int:
        """How many were sent so far."""
        return len(self._heard)

    def hear_again(self, number: int) -> None:
        """The last events come once more, as they were."""
        for change in self._heard[-number:]:
            self._take(change)

    def _take(self, change: Change) -> None:
        if not self._alive:
            return
        body: Mapping[str, Any] = change.body
        gone = change.type == "DELETED"
        match body["kind"]:
            case "Job":
                (self._intake.job_gone if gone else self._intake.job)(body)
            case "Pod":
                (self._intake.pod_gone if gone else self._intake.pod)(body)
            case "Workload":
                (self._intake.workload_gone if gone else self._intake.workload)(body)
            case "Event":
                self._intake.trouble(body)
            case kind if kind in OUR_KINDS and gone:
                self._intake.resource_gone(Kind(kind), body)
            case kind if kind in OUR_KINDS:
                self._intake.resource(Kind(kind), body)
