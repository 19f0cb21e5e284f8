"""Everything that is known of the cluster, as the watches told it. Reconciles read only from here."""

import math
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from finetune_api.events import ProgressEvent
from finetune_api.group import Kind
from finetune_operator.gpu_nodes import GpuNodes
from finetune_operator.kueue_workloads import KueueWorkload, KueueWorkloads
from finetune_operator.lessons import Lessons
from finetune_operator.links import links
from finetune_operator.turns import Estimates
from finetune_operator.views import (
    AnyResource,
    Child,
    Children,
    JobView,
    Key,
    Obstacle,
    PodTrouble,
    PodView,
)

View = TypeVar("View", JobView, PodView)
Entry = TypeVar("Entry")

REMEMBERED = 4096
"""How many deleted objects, and how many Events, are kept in mind."""


class Onlooker(Protocol):
    """Sees what becomes of resources."""

    def changed(self, before: AnyResource, after: AnyResource) -> None: ...

    def gone(self, uid: str) -> None: ...


class Cache:
    """Views by name and by owner. An older version of an object never replaces a newer one, and one that is gone does
    not come back: after a write of ours the watch may still bring what was there before."""

    def __init__(self, onlooker: Onlooker | None = None) -> None:
        self._onlooker = onlooker
        self.nodes = GpuNodes()
        self.lessons = Lessons()
        self.workloads = KueueWorkloads()
        self.estimates = Estimates()
        self._resources: dict[Key, AnyResource] = {}
        self._jobs: dict[str, dict[str, JobView]] = defaultdict(dict)
        self._pods: dict[str, dict[str, PodView]] = defaultdict(dict)
        self._warnings: OrderedDict[str, PodTrouble] = OrderedDict()
        self._progress: dict[str, ProgressEvent] = {}
        self._obstacles: dict[str, dict[tuple[str, str], Obstacle]] = defaultdict(dict)
        self._namespaces: dict[tuple[Kind, str], dict[Key, None]] = defaultdict(dict)
        self._referrers: dict[Key, dict[Key, None]] = defaultdict(dict)
        """Which resources name a resource, in spec or status."""
        self._made_for: dict[str, dict[Key, None]] = defaultdict(dict)
        """Which resources of ours were made for another one, by its uid."""
        self._key_of: dict[str, Key] = {}
        """Resources of ours by uid."""
        self._works_for: dict[str, str] = {}
        """uid of the resource that a Job or pod, by its uid, works for."""
        self._gone: OrderedDict[str, float] = OrderedDict()
        """uids of what was deleted lately, with the version of the deletion: a Job or pod is gone for us when somebody
        takes its labels away, and may come back with them."""

    # Resources of ours

    def resource(self, key: Key) -> AnyResource | None:
        return self._resources.get(key)

    def resources(self, kind: Kind, namespace: str) -> Iterable[Any]:
        """All resources of a kind in a namespace."""
        return [self._resources[key] for key in self._namespaces.get((kind, namespace), ())]

    def referrers(self, key: Key, kind: Kind) -> list[Any]:
        """The resources of a kind that name this one, which need not exist."""
        return [self._resources[other] for other in self._referrers.get(key, ()) if other.kind is kind]

    def made_for(self, uid: str, kind: Kind) -> list[Any]:
        """The resources of a kind that the operator made for the one with this uid."""
        return [self._resources[key] for key in self._made_for.get(uid, ()) if key.kind is kind]

    def maker(self, resource: AnyResource) -> Key | None:
        """The resource that this one was made for, while it is there."""
        return self._key_of.get(resource.owned.uid) if resource.owned is not None else None

    def all_keys(self) -> list[Key]:
        return list(self._resources)

    def all_resources(self) -> list[AnyResource]:
        return list(self._resources.values())

    def put_resource(self, resource: AnyResource) -> None:
        """Versions are compared across uids too: a namesake's predecessor may be told of late."""
        known = self._resources.get(resource.key)
        if resource.uid in self._gone or (known is not None and known.resource_version > resource.resource_version):
            return
        if known is not None:
            self._unlink(known)
            if self._onlooker is not None:
                self._onlooker.changed(known, resource)
        self._resources[resource.key] = resource
        self._namespaces[resource.key.kind, resource.key.namespace][resource.key] = None
        self._key_of[resource.uid] = resource.key
        for named in links(resource):
            self._referrers[named][resource.key] = None
        if resource.owned is not None:
            self._made_for[resource.owned.uid][resource.key] = None
        if resource.key.kind is Kind.FINE_TUNED_MODEL:
            self.lessons.put(resource)

    def drop_resource(self, key: Key, uid: str) -> None:
        """A namesake that was made since is left alone."""
        _keep(self._gone, uid, math.inf)
        self._key_of.pop(uid, None)
        self._obstacles.pop(uid, None)
        if self._onlooker is not None:
            self._onlooker.gone(uid)
        known = self._resources.get(key)
        if known is None or known.uid != uid:
            return
        self._unlink(known)
        self.lessons.drop(key)
        del self._resources[key]
        self._namespaces[key.kind, key.namespace].pop(key, None)

    def _unlink(self, resource: AnyResource) -> None:
        if resource.owned is not None:
            made = self._made_for.get(resource.owned.uid, {})
            made.pop(resource.key, None)
            if not made:
                self._made_for.pop(resource.owned.uid, None)
        for named in links(resource):
            referrers = self._referrers.get(named, {})
            referrers.pop(resource.key, None)
            if not referrers:
                self._referrers.pop(named, None)

    # Jobs and pods, by the uid of the resource that they work for

    def put_job(self, job: JobView) -> None:
        self._put(self._jobs, job)

    def put_pod(self, pod: PodView) -> None:
        self._put(self._pods, pod)

    def drop_job(self, job: JobView) -> None:
        self._drop(self._jobs, job)

    def drop_pod(self, pod: PodView) -> None:
        self._drop(self._pods, pod)
        self._progress.pop(pod.uid, None)

    def _put(self, views: dict[str, dict[str, View]], view: View) -> None:
        known = views.get(view.owned.uid, {}).get(view.name)
        if known is not None and known.resource_version > view.resource_version:
            return
        if view.resource_version <= self._gone.get(view.uid, -1):
            return
        views[view.owned.uid][view.name] = view
        self._works_for[view.uid] = view.owned.uid

    def _drop(self, views: dict[str, dict[str, View]], view: View) -> None:
        known = views.get(view.owned.uid, {}).get(view.name)
        if known is not None and known.uid == view.uid and known.resource_version > view.resource_version:
            return
        _keep(self._gone, view.uid, max(view.resource_version, self._gone.get(view.uid, -1)))
        self._warnings.pop(view.uid, None)
        self._works_for.pop(view.uid, None)
        mine = views.get(view.owned.uid, {})
        if view.name in mine and mine[view.name].uid == view.uid:
            del mine[view.name]
        if not mine:
            views.pop(view.owned.uid, None)

    def job(self, uid: str) -> JobView | None:
        return self._of_uid(self._jobs, uid)

    def pod(self, uid: str) -> PodView | None:
        return self._of_uid(self._pods, uid)

    def _of_uid(self, views: dict[str, dict[str, View]], uid: str) -> View | None:
        mine = views.get(self._works_for.get(uid, ""), {})
        return next((view for view in mine.values() if view.uid == uid), None)

    def all_jobs(self) -> list[JobView]:
        return [job for jobs in self._jobs.values() for job in jobs.values()]

    def all_pods(self) -> list[PodView]:
        return [pod for pods in self._pods.values() for pod in pods.values()]

    def speaking_pods(self) -> list[PodView]:
        """Those that work, and tell how far their step is."""
        working = (pod for pod in self.all_pods() if pod.started_at and pod.termination is None and not pod.deleting)
        return [pod for pod in working if pod.rank == 0]

    def put_trouble(self, warning: PodTrouble) -> Key | None:
        """The resource that it bears on; None when it is about nothing that is known to be ours yet."""
        known = self._warnings.get(warning.uid)
        if known is None or known.time <= warning.time:
            _keep(self._warnings, warning.uid, warning)
        owner = self._works_for.get(warning.uid)
        return self._key_of.get(owner) if owner is not None else None

    def progress(self, pod: PodView) -> ProgressEvent | None:
        """What it told last."""
        return self._progress.get(pod.uid)

    def put_progress(self, pod: PodView, progress: ProgressEvent) -> bool:
        """Whether it says something new."""
        if self._progress.get(pod.uid) == progress:
            return False
        self._progress[pod.uid] = progress
        return True

    def note_obstacle(self, uid: str, kind: str, name: str, obstacle: Obstacle) -> None:
        """A child of this resource could not be made."""
        self._obstacles[uid][kind, name] = obstacle

    def clear_obstacle(self, uid: str, kind: str, name: str) -> None:
        self._obstacles.get(uid, {}).pop((kind, name), None)

    def owner_key(self, view: JobView | PodView) -> Key | None:
        """The resource that a child works for: by uid, for a label keeps only the first 63 characters of a name."""
        return self._key_of.get(view.owned.uid)

    def waiting_for(self, workload: KueueWorkload) -> Key | None:
        """The resource whose Job Kueue's Workload stands for."""
        owner = self._works_for.get(workload.job_uid)
        return self._key_of.get(owner) if owner is not None else None

    def children(self, uid: str) -> Children:
        pods: dict[str, list[PodView]] = defaultdict(list)
        for pod in self._pods.get(uid, {}).values():
            pods[pod.job_uid].append(pod)
        items = tuple(self._child(job, tuple(pods.pop(job.uid, ()))) for job in self._jobs.get(uid, {}).values())
        strays = tuple(pod for left in pods.values() for pod in left if pod.phase in ("Pending", "Running"))
        return Children(items, strays, obstacles=dict(self._obstacles.get(uid, {})))

    def _child(self, job: JobView, pods: tuple[PodView, ...]) -> Child:
        newest_first = sorted(pods, key=lambda pod: (pod.created_at, pod.name), reverse=True)
        warnings = [self._warnings[uid] for uid in (job.uid, *(pod.uid for pod in pods)) if uid in self._warnings]
        progress = next((self._progress[pod.uid] for pod in newest_first if pod.uid in self._progress), None)
        warning = max(warnings, key=lambda warning: warning.time, default=None)
        return Child(job, pods, warning, progress, self.workloads.of(job.uid))


def _keep(entries: OrderedDict[str, Entry], uid: str, entry: Entry) -> None:
    """As the latest of a bounded number."""
    entries[uid] = entry
    entries.move_to_end(uid)
    if len(entries) > REMEMBERED:
        entries.popitem(last=False)
