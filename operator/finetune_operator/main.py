"""kopf as the informer: its watches fill the cache and ask for reconciles. Nothing else happens in a handler."""

import asyncio
import dataclasses
import logging
import os
from typing import Any

import kopf
from prometheus_client import REGISTRY

from finetune_api.group import GROUP, MANAGER, NAMES, VERSION, Kind, Label
from finetune_operator.cache import Cache
from finetune_operator.cluster import ApiError, Cluster
from finetune_operator.intake import Intake
from finetune_operator.kueue_workloads import KUEUE_GROUP, WORKLOADS
from finetune_operator.metrics import collectors
from finetune_operator.metrics.chronicle import Chronicle
from finetune_operator.probes import Probes
from finetune_operator.progress import ProgressFollower
from finetune_operator.queue_watch import QueueWatch
from finetune_operator.reconcile import Reconciler
from finetune_operator.relist import Relist
from finetune_operator.settings import Settings
from finetune_operator.views import GPU_MEMORY_LABEL, Key
from finetune_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

DELETED = "DELETED"
SILENCE_SECONDS = 70.0
"""How long a watch may bring nothing before it is opened anew: a healthy one brings a bookmark every minute."""


class Operator:
    """The cache, the queue, and the tasks that work on them, wired to kopf's watches."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cache = Cache(Chronicle())
        self._queue: WorkQueue[Key] = WorkQueue()
        self._intake = Intake(self._cache, self._queue)
        self._probes = Probes(self._queue, settings.stuck_after_seconds)
        self._tasks: list[asyncio.Task[None]] = []
        self._synced = False

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """The handlers. An index is filled from the initial lists of all kinds before any event handler is called:
        so no plan is made on half a picture."""
        kopf.on.login(registry=registry)(_login)
        kopf.on.startup(registry=registry)(self._start)
        kopf.on.cleanup(registry=registry)(self._stop)
        for kind in Kind:
            arguments = (GROUP, VERSION, NAMES[kind].plural)
            kopf.index(*arguments, registry=registry, id=f"index-{kind.value}")(self._index_of(kind))
            kopf.on.event(*arguments, registry=registry, id=f"watch-{kind.value}")(self._watch_of(kind))
        kopf.index("batch", "v1", "jobs", registry=registry, id="index-jobs")(self._index_job)
        kopf.on.event("batch", "v1", "jobs", registry=registry, id="watch-jobs")(self._watch_job)
        kopf.index("", "v1", "pods", registry=registry, id="index-pods")(self._index_pod)
        kopf.on.event("", "v1", "pods", registry=registry, id="watch-pods")(self._watch_pod)
        kopf.on.event("", "v1", "events", registry=registry, id="watch-events")(self._watch_warning)
        if self._settings.watches_nodes:
            kopf.index("", "v1", "nodes", registry=registry, id="index-nodes")(self._index_node)
            kopf.on.event("", "v1", "nodes", registry=registry, id="watch-nodes")(self._watch_node)

        if self._settings.kueue.enabled:
            kopf.index(KUEUE_GROUP, WORKLOADS, registry=registry, id="index-workloads")(self._index_workload)
            kopf.on.event(KUEUE_GROUP, WORKLOADS, registry=registry, id="watch-workloads")(self._watch_workload)

    async def _start(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        collectors.register(REGISTRY, self._cache, self._queue)
        self._probes_server = await self._probes.serve(self._settings.probe_port)
        self._cluster = await Cluster.connect()
        await self._until_served()
        self._reconciler = Reconciler(self._cache, self._cluster, self._queue, self._settings)

    async def _until_served(self) -> None:
        """kopf looks once which kinds there are; a chart that was installed a moment ago brings them a moment later."""
        wanted = {NAMES[kind].plural for kind in Kind}
        while missing := wanted - await self._served():
            log.info("the API server does not serve %s yet", ", ".join(sorted(missing)))
            await asyncio.sleep(1)

    async def _served(self) -> frozenset[str]:
        try:
            return await self._cluster.served()
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("the API server does not answer: %s", error)
            return frozenset()

    def _begin(self) -> None:
        """With the first event after the initial lists: only now do the workers start."""
        if self._synced:
            return
        self._synced = True
        follower = ProgressFollower(self._cache, self._cluster, self._queue, self._settings.progress_interval_seconds)
        queue_watch = QueueWatch(self._cache, self._cluster, self._queue)
        relist = Relist(self._cache, self._cluster, self._intake, self._settings)
        work = [self._reconciler.work() for _ in range(self._settings.workers)]
        keeping_up = (self._reconciler.resync(), relist.repeat(), follower.follow(), queue_watch.follow())
        self._tasks = [asyncio.create_task(task) for task in (*work, *keeping_up)]
        for task in self._tasks:
            task.add_done_callback(self._note_defect)

    def _note_defect(self, task: asyncio.Task[None]) -> None:
        """None of them ends by itself: the liveness probe has the operator started again."""
        if not task.cancelled():
            self._probes.defect = f"a background task ended: {task.exception()!r}"
            log.error(self._probes.defect)

    async def _stop(self, **_: Any) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._cluster.close()
        await self._probes_server.cleanup()

    def ready(self) -> None:
        self._probes.ready = True

    def _index_of(self, kind: Kind) -> Any:
        async def index(body: kopf.Body, **_: Any) -> None:
            self._intake.resource(kind, body, quietly=True)

        return index

    def _watch_of(self, kind: Kind) -> Any:
        async def watch(body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
            self._begin()
            if type == DELETED:
                self._intake.resource_gone(kind, body)
            else:
                self._intake.resource(kind, body)

        return watch

    async def _index_job(self, body: kopf.Body, **_: Any) -> None:
        self._intake.job(body, quietly=True)

    async def _watch_job(self, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
        if type == DELETED:
            self._intake.job_gone(body)
        else:
            self._intake.job(body)

    async def _index_pod(self, body: kopf.Body, **_: Any) -> None:
        self._intake.pod(body, quietly=True)

    async def _watch_pod(self, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
        if type == DELETED:
            self._intake.pod_gone(body)
        else:
            self._intake.pod(body)

    async def _index_node(self, body: kopf.Body, **_: Any) -> None:
        self._intake.node(body)

    async def _watch_node(self, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
        if type == DELETED:
            self._intake.node_gone(body)
        else:
            self._intake.node(body)

    async def _index_workload(self, body: kopf.Body, **_: Any) -> None:
        self._intake.workload(body, quietly=True)

    async def _watch_workload(self, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
        if type == DELETED:
            self._intake.workload_gone(body)
        else:
            self._intake.workload(body)

    async def _watch_warning(self, body: kopf.Body, **_: Any) -> None:
        self._intake.trouble(body)


async def _login(**arguments: Any) -> Any:
    """As the pod's service account, else with the kubeconfig of whoever runs it by hand. The API server is reached by
    the address that the kubelet gives every pod: a name would need a DNS server, which may be down when we are not."""
    inside = kopf.login_with_service_account(**arguments)
    if inside is None:
        return kopf.login_with_kubeconfig(**arguments)
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return dataclasses.replace(inside, server=f"https://{f'[{host}]' if ':' in host else host}:{port}")


def configure(settings: kopf.OperatorSettings) -> None:
    """An informer and no more: nothing of kopf's is written to any object."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.inactivity_timeout = SILENCE_SECONDS
    settings.queueing.error_delays = (1, 2, 5, 10, 30, 60)
    ours = f"{Label.MANAGED_BY.value}={MANAGER}"
    settings.watching.label_selectors["batch", "v1", "jobs"] = ours
    settings.watching.label_selectors["", "v1", "pods"] = ours
    settings.watching.label_selectors["", "v1", "nodes"] = GPU_MEMORY_LABEL
    settings.watching.field_selectors["", "v1", "events"] = "type=Warning"


async def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    operator = Operator(settings)
    registry = kopf.OperatorRegistry()
    operator.register(registry)
    ready = asyncio.Event()
    told = asyncio.create_task(_tell_when(ready, operator))
    try:
        await kopf.operator(
            registry=registry,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            standalone=True,
            ready_flag=ready,
        )
    finally:
        told.cancel()


async def _tell_when(ready: asyncio.Event, operator: Operator) -> None:
    await ready.wait()
    operator.ready()
