"""From what the watches tell to the cache and the queue: what changed, and whose plan may change with it."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from finetune_api.group import Kind
from finetune_operator.cache import Cache
from finetune_operator.kueue_workloads import KueueWorkload, workload_view
from finetune_operator.observe import dependents
from finetune_operator.projections import job_view, node_view, pod_view, resource_view, trouble_view
from finetune_operator.views import AnyResource, JobView, Key, PodView
from finetune_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

Raw = Mapping[str, Any]


class Intake:
    """Takes objects as the API server sends them. With `quietly`, nothing is reconciled yet: an initial list. A Job or
    pod whose labels somebody took away or changed is none of ours any more."""

    def __init__(self, cache: Cache, queue: WorkQueue[Key]) -> None:
        self._cache = cache
        self._queue = queue

    def resource(self, kind: Kind, body: Raw, *, quietly: bool = False) -> None:
        resource = self._read(kind, body)
        if resource is None:
            return
        before = self._cache.resource(resource.key)
        self._cache.put_resource(resource)
        if not quietly:
            self._wake_all(before)
            self._wake_all(resource)

    def resource_gone(self, kind: Kind, body: Raw) -> None:
        """Also one that could not be read: an earlier version of it may be known."""
        metadata = body["metadata"]
        key = Key(kind, metadata["namespace"], metadata["name"])
        self.forget(self._cache.resource(key) or self._read(kind, body), key, metadata["uid"])

    def forget(self, resource: AnyResource | None, key: Key, uid: str) -> None:
        self._cache.drop_resource(key, uid)
        self._wake_all(resource)
        self._queue.add(key)

    def job(self, body: Raw, *, quietly: bool = False) -> None:
        job = job_view(body)
        if job is not None:
            self._cache.put_job(job)
            self._wake(job, quietly)
        elif (known := self._cache.job(body["metadata"]["uid"])) is not None:
            self.forget_job(replace(known, resource_version=int(body["metadata"]["resourceVersion"])))

    def job_gone(self, body: Raw) -> None:
        job = job_view(body)
        if job is not None:
            self.forget_job(job)

    def forget_job(self, job: JobView) -> None:
        self._cache.drop_job(job)
        self._wake(job)

    def pod(self, body: Raw, *, quietly: bool = False) -> None:
        pod = pod_view(body)
        if pod is not None:
            self._cache.put_pod(pod)
            self._wake(pod, quietly)
        elif (known := self._cache.pod(body["metadata"]["uid"])) is not None:
            self.forget_pod(replace(known, resource_version=int(body["metadata"]["resourceVersion"])))

    def pod_gone(self, body: Raw) -> None:
        pod = pod_view(body)
        if pod is not None:
            self.forget_pod(pod)

    def forget_pod(self, pod: PodView) -> None:
        self._cache.drop_pod(pod)
        self._wake(pod)

    def workload(self, body: Raw, *, quietly: bool = False) -> None:
        """Kueue's word on a Job, which may come before the Job does."""
        workload = workload_view(body)
        if workload is not None:
            self._cache.workloads.put(workload)
            self._wake_waiting(workload, quietly)

    def workload_gone(self, body: Raw) -> None:
        workload = workload_view(body)
        if workload is not None:
            self.forget_workload(workload)

    def forget_workload(self, workload: KueueWorkload) -> None:
        self._cache.workloads.drop(workload)
        self._wake_waiting(workload)

    def node(self, body: Raw) -> None:
        """A node wakes nobody: its GPUs count for what is prepared next."""
        node = node_view(body)
        if node is not None:
            self._cache.nodes.put(node)
        else:
            self.node_gone(body)

    def node_gone(self, body: Raw) -> None:
        self._cache.nodes.drop(body["metadata"]["name"])

    def trouble(self, body: Raw) -> None:
        trouble = trouble_view(body)
        key = self._cache.put_trouble(trouble) if trouble is not None else None
        if key is not None:
            self._queue.add(key)

    def _read(self, kind: Kind, body: Raw) -> AnyResource | None:
        """None, with a line in the log, for an object that an older or newer schema let in."""
        try:
            return resource_view(kind, body)
        except ValidationError as error:
            metadata = body["metadata"]
            log.error("%s %s/%s cannot be read: %s", kind, metadata["namespace"], metadata["name"], error)
            return None

    def _wake(self, child: JobView | PodView, quietly: bool = False) -> None:
        key = self._cache.owner_key(child)
        if key is not None and not quietly:
            self._queue.add(key)

    def _wake_waiting(self, workload: KueueWorkload, quietly: bool = False) -> None:
        key = self._cache.waiting_for(workload)
        if key is not None and not quietly:
            self._queue.add(key)

    def _wake_all(self, resource: AnyResource | None) -> None:
        if resource is not None:
            for key in dependents(self._cache, resource):
                self._queue.add(key)
