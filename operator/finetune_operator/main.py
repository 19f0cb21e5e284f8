"""kopf as the informer: its watches fill the cache and ask for reconciles. Nothing else happens in a handler."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import kopf
from pydantic import ValidationError

from finetune_api.group import GROUP, MANAGER, NAMES, VERSION, Kind, Label
from finetune_operator.cache import Cache
from finetune_operator.cluster import Cluster
from finetune_operator.observe import dependents
from finetune_operator.probes import Probes
from finetune_operator.progress import ProgressFollower
from finetune_operator.projections import job_view, pod_view, resource_view, trouble_view
from finetune_operator.reconcile import Reconciler
from finetune_operator.settings import Settings
from finetune_operator.views import AnyResource, Key
from finetune_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

DELETED = "DELETED"


class Operator:
    """The cache, the queue, and the tasks that work on them, wired to kopf's watches."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cache = Cache()
        self._queue: WorkQueue[Key] = WorkQueue()
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

    async def _start(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        self._probes_server = await self._probes.serve(self._settings.probe_port)
        self._cluster = await Cluster.connect()
        self._reconciler = Reconciler(self._cache, self._cluster, self._queue, self._settings)

    def _begin(self) -> None:
        """With the first event after the initial lists: only now do the workers start."""
        if self._synced:
            return
        self._synced = True
        follower = ProgressFollower(self._cache, self._cluster, self._queue, self._settings.progress_interval_seconds)
        work = [self._reconciler.work() for _ in range(self._settings.workers)]
        self._tasks = [asyncio.create_task(task) for task in (*work, self._reconciler.resync(), follower.follow())]

    async def _stop(self, **_: Any) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._cluster.close()
        await self._probes_server.cleanup()

    def ready(self) -> None:
        self._probes.ready = True

    # Our kinds

    def _view(self, kind: Kind, body: Mapping[str, Any]) -> AnyResource | None:
        """None, with a line in the log, for an object that an older or newer schema let in."""
        try:
            return resource_view(kind, body)
        except ValidationError as error:
            metadata = body["metadata"]
            log.error("%s %s/%s cannot be read: %s", kind, metadata["namespace"], metadata["name"], error)
            return None

    def _index_of(self, kind: Kind) -> Any:
        async def index(body: kopf.Body, **_: Any) -> None:
            resource = self._view(kind, body)
            if resource is not None:
                self._cache.put_resource(resource)

        return index

    def _watch_of(self, kind: Kind) -> Any:
        async def watch(body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
            self._begin()
            resource = self._view(kind, body)
            if resource is None:
                return
            if type == DELETED:
                self._cache.drop_resource(resource.key, resource.uid)
            else:
                self._cache.put_resource(resource)
            for key in dependents(self._cache, resource):
                self._queue.add(key)

        return watch

    # What works for them

    async def _index_job(self, body: kopf.Body, **_: Any) -> None:
        job = job_view(body)
        if job is not None:
            self._cache.put_job(job)

    async def _watch_job(self, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
        job = job_view(body)
        if job is None:
            return
        if type == DELETED:
            self._cache.drop_job(job)
        else:
            self._cache.put_job(job)
        self._wake(self._cache.owner_key(job))

    async def _index_pod(self, body: kopf.Body, **_: Any) -> None:
        pod = pod_view(body)
        if pod is not None:
            self._cache.put_pod(pod)

    async def _watch_pod(self, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
        pod = pod_view(body)
        if pod is None:
            return
        if type == DELETED:
            self._cache.drop_pod(pod)
        else:
            self._cache.put_pod(pod)
        self._wake(self._cache.owner_key(pod))

    async def _watch_warning(self, body: kopf.Body, **_: Any) -> None:
        warning = trouble_view(body)
        if warning is not None:
            self._wake(self._cache.put_trouble(warning))

    def _wake(self, key: Key | None) -> None:
        if key is not None:
            self._queue.add(key)


async def _login(**arguments: Any) -> Any:
    """As the pod's service account, else with the kubeconfig of whoever runs it by hand."""
    return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)


def configure(settings: kopf.OperatorSettings) -> None:
    """An informer and no more: nothing of kopf's is written to any object."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.queueing.error_delays = (1, 2, 5, 10, 30, 60)
    ours = f"{Label.MANAGED_BY.value}={MANAGER}"
    settings.watching.label_selectors["batch", "v1", "jobs"] = ours
    settings.watching.label_selectors["", "v1", "pods"] = ours
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
