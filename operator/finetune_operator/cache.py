"""Everything that is known of the cluster, as the watches told it. Reconciles read only from here."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeVar

from finetune_api.events import ProgressEvent
from finetune_api.group import Kind
from finetune_operator.views import (
    AnyResource,
    Child,
    Children,
    JobView,
    Key,
    PodTrouble,
    PodView,
)

View = TypeVar("View", JobView, PodView)


class Cache:
    """Views by name and by owner. An older version of an object never replaces a newer one: after a write of ours
    the watch may still bring what was there before."""

    def __init__(self) -> None:
        self._resources: dict[Key, AnyResource] = {}
        self._jobs: dict[str, dict[str, JobView]] = defaultdict(dict)
        self._pods: dict[str, dict[str, PodView]] = defaultdict(dict)
        self._warnings: dict[str, PodTrouble] = {}
        self._progress: dict[str, ProgressEvent] = {}
        self._conflicts: dict[str, set[str]] = defaultdict(set)
        self._namespaces: dict[tuple[Kind, str], set[Key]] = defaultdict(set)
        self._key_of: dict[str, Key] = {}
        """Resources of ours by uid."""
        self._works_for: dict[str, str] = {}
        """uid of the resource that a Job or pod, by its uid, works for."""

    # Resources of ours

    def resource(self, key: Key) -> AnyResource | None:
        return self._resources.get(key)

    def resources(self, kind: Kind, namespace: str) -> Iterable[Any]:
        """All resources of a kind in a namespace."""
        return [self._resources[key] for key in sorted(self._namespaces[kind, namespace], key=lambda key: key.name)]

    def all_keys(self) -> list[Key]:
        return list(self._resources)

    def put_resource(self, resource: AnyResource) -> None:
        known = self._resources.get(resource.key)
        if known is not None and known.uid == resource.uid and known.resource_version > resource.resource_version:
            return
        self._resources[resource.key] = resource
        self._namespaces[resource.key.kind, resource.key.namespace].add(resource.key)
        self._key_of[resource.uid] = resource.key

    def drop_resource(self, key: Key, uid: str) -> None:
        """A namesake that was made since is left alone."""
        self._key_of.pop(uid, None)
        known = self._resources.get(key)
        if known is None or known.uid != uid:
            return
        del self._resources[key]
        self._namespaces[key.kind, key.namespace].discard(key)
        self._conflicts.pop(uid, None)

    # Jobs and pods, by the uid of the resource that they work for

    def put_job(self, job: JobView) -> None:
        _put(self._jobs[job.owned.uid], job)
        self._works_for[job.uid] = job.owned.uid

    def put_pod(self, pod: PodView) -> None:
        _put(self._pods[pod.owned.uid], pod)
        self._works_for[pod.uid] = pod.owned.uid

    def drop_job(self, job: JobView) -> None:
        _drop(self._jobs, job)
        self._forget(job.uid)

    def drop_pod(self, pod: PodView) -> None:
        _drop(self._pods, pod)
        self._forget(pod.uid)
        self._progress.pop(pod.uid, None)

    def _forget(self, uid: str) -> None:
        self._warnings.pop(uid, None)
        self._works_for.pop(uid, None)

    def running_pods(self) -> list[PodView]:
        pods = [pod for pods in self._pods.values() for pod in pods.values()]
        return [pod for pod in pods if pod.started_at and pod.termination is None and not pod.deleting]

    def put_trouble(self, warning: PodTrouble) -> Key | None:
        """The resource that it bears on; None when it is about nothing of ours."""
        owner = self._works_for.get(warning.uid)
        if owner is None:
            return None
        known = self._warnings.get(warning.uid)
        if known is None or known.time <= warning.time:
            self._warnings[warning.uid] = warning
        return self._key_of.get(owner)

    def put_progress(self, pod: PodView, progress: ProgressEvent) -> bool:
        """Whether it says something new."""
        if self._progress.get(pod.uid) == progress:
            return False
        self._progress[pod.uid] = progress
        return True

    def note_conflict(self, uid: str, name: str) -> None:
        """A stranger's object has the name of a child of this resource."""
        self._conflicts[uid].add(name)

    def owner_key(self, view: JobView | PodView) -> Key | None:
        """The resource that a child works for: by uid, for a label keeps only the first 63 characters of a name."""
        return self._key_of.get(view.owned.uid)

    def children(self, uid: str) -> Children:
        pods: dict[str, list[PodView]] = defaultdict(list)
        for pod in self._pods.get(uid, {}).values():
            pods[pod.job].append(pod)
        items = tuple(self._child(job, tuple(pods[job.name])) for job in self._jobs.get(uid, {}).values())
        return Children(items, frozenset(self._conflicts.get(uid, ())))

    def _child(self, job: JobView, pods: tuple[PodView, ...]) -> Child:
        warnings = [self._warnings[uid] for uid in (job.uid, *(pod.uid for pod in pods)) if uid in self._warnings]
        progress = next((self._progress[pod.uid] for pod in pods if pod.uid in self._progress), None)
        return Child(job, pods, max(warnings, key=lambda warning: warning.time, default=None), progress)


def _put(views: dict[str, View], view: View) -> None:
    known = views.get(view.name)
    if known is None or known.uid != view.uid or known.resource_version <= view.resource_version:
        views[view.name] = view


def _drop(views: dict[str, dict[str, View]], view: View) -> None:
    mine = views.get(view.owned.uid, {})
    if view.name in mine and mine[view.name].uid == view.uid:
        del mine[view.name]
    if not mine:
        views.pop(view.owned.uid, None)
