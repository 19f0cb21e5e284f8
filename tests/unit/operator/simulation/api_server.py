"""The part of the Kubernetes API server that the operator meets, with its real semantics: names are taken once,
versions only grow, a stale version and a wrong uid are refused, and the schema is checked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from finetune_api.group import Kind
from finetune_operator.cluster import CONFLICT, INVALID, NOT_FOUND, ApiError
from finetune_operator.views import MODELS

from .virtual_time import timestamp

Raw = dict[str, Any]
Name = tuple[str, str]
"""Kind and name; there is one namespace."""

OUR_KINDS = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True)
class Change:
    """What a watch tells."""

    type: str
    body: Raw


@dataclass(frozen=True)
class Write:
    """A request that changed something."""

    verb: str
    kind: str
    name: str


@dataclass
class ApiServer:
    objects: dict[Name, Raw] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    watchers: list[Callable[[Change], None]] = field(default_factory=list)
    version: int = 100
    incarnations: dict[Name, int] = field(default_factory=dict)
    down: bool = False
    """Whether no request is answered and no watch says anything."""

    # What everybody asks

    def read(self, kind: str, name: str) -> Raw:
        found = self.objects.get((kind, name))
        if found is None:
            raise ApiError(NOT_FOUND, f'{kind} "{name}" not found')
        return copy.deepcopy(found)

    def find(self, kind: str, name: str) -> Raw | None:
        found = self.objects.get((kind, name))
        return copy.deepcopy(found) if found is not None else None

    def peek(self, kind: str, name: str) -> Raw | None:
        """The object itself, for those who only look."""
        return self.objects.get((kind, name))

    def all(self, kind: str) -> list[Raw]:
        return [copy.deepcopy(body) for (of_kind, _), body in self.objects.items() if of_kind == kind]

    def owned_by(self, uid: str) -> Iterator[Raw]:
        for body in list(self.objects.values()):
            if uid in _owners(body):
                yield body

    # What the operator writes

    def create(self, body: Raw) -> Raw:
        kind, name = body["kind"], body["metadata"]["name"]
        if (kind, name) in self.objects:
            raise ApiError(CONFLICT, f'{kind} "{name}" already exists')
        number = self.incarnations[kind, name] = self.incarnations.get((kind, name), 0) + 1
        made = copy.deepcopy(body)
        made["metadata"] |= {
            "uid": f"{kind.lower()}-{name}-{number}",
            "generation": 1,
            "creationTimestamp": timestamp(),
        }
        if kind in OUR_KINDS:
            self._check(kind, "spec", made["spec"])
            made["status"] = MODELS[Kind(kind)][1]().to_manifest()
        self.writes.append(Write("create", kind, name))
        return self._store("ADDED", made)

    def apply_status(self, kind: str, name: str, version: int, status: Raw) -> Raw:
        body = self.read(kind, name)
        if int(body["metadata"]["resourceVersion"]) != version:
            raise ApiError(CONFLICT, "the object has been modified; please apply your changes to the latest version")
        self._check(kind, "status", status)
        self.writes.append(Write("status", kind, name))
        return self._changed({**body, "status": copy.deepcopy(status)})

    def add_owners(self, kind: str, name: str, uid: str, owners: list[Raw]) -> Raw:
        if (kind, name) not in self.objects:
            raise ApiError(CONFLICT, "uid mismatch: no existing object was found")
        body = self.read(kind, name)
        self._demand_uid(body, uid)
        there = {owner["uid"]: owner for owner in body["metadata"].get("ownerReferences", [])}
        body["metadata"]["ownerReferences"] = list({**there, **{owner["uid"]: owner for owner in owners}}.values())
        self.writes.append(Write("share", kind, name))
        return self._changed(body)

    def set_suspended(self, name: str, uid: str, suspend: bool) -> Raw:
        job = self.read("Job", name)
        self._demand_uid(job, uid)
        self.writes.append(Write("suspend", "Job", name))
        return self._changed({**job, "spec": {**job["spec"], "suspend": suspend}})

    def set_ttl(self, name: str, uid: str, seconds: int) -> Raw:
        job = self.read("Job", name)
        self._demand_uid(job, uid)
        self.writes.append(Write("expire", "Job", name))
        return self._changed({**job, "spec": {**job["spec"], "ttlSecondsAfterFinished": seconds}})

    def set_replicate_suspended(self, name: str, uid: str, suspend: bool) -> Raw:
        self._demand_uid(self.read(Kind.FINE_TUNE_JOB.value, name), uid)
        self.writes.append(Write("suspend", Kind.FINE_TUNE_JOB.value, name))
        return self.edit(Kind.FINE_TUNE_JOB.value, name, suspend=suspend)

    def change_workload(self, name: str, uid: str, spec: Raw, annotations: dict[str, str]) -> Raw:
        body = self.read("Workload", name)
        self._demand_uid(body, uid)
        body["spec"] |= spec
        body["metadata"].setdefault("annotations", {}).update(annotations)
        self.writes.append(Write("change", "Workload", name))
        return self._changed(body)

    def delete(self, kind: str, name: str, uid: str | None = None, version: int | None = None) -> None:
        body = self.read(kind, name)
        if version is not None and int(body["metadata"]["resourceVersion"]) != version:
            raise ApiError(CONFLICT, "the ResourceVersion in the precondition does not match that in record")
        if uid is not None and body["metadata"]["uid"] != uid:
            raise ApiError(CONFLICT, "the UID in the precondition does not match the UID in record")
        self.writes.append(Write("delete", kind, name))
        self.remove(kind, name)

    def _demand_uid(self, body: Raw, uid: str) -> None:
        if body["metadata"]["uid"] != uid:
            raise ApiError(INVALID, "metadata.uid: Invalid value: field is immutable")

    def _check(self, kind: str, part: str, content: Raw) -> None:
        spec, status = MODELS[Kind(kind)]
        try:
            (spec if part == "spec" else status).model_validate(content)
        except ValidationError as error:
            raise ApiError(INVALID, f"{kind} is invalid: {error}") from error

    # What users and the cluster's own controllers do

    def edit(self, kind: str, name: str, **spec: Any) -> Raw:
        body = self.read(kind, name)
        changed = {**body, "spec": {**body["spec"], **spec}}
        changed["metadata"]["generation"] += 1
        return self._changed(changed)

    def replace_spec(self, kind: str, name: str, spec: Raw) -> Raw:
        """As `kubectl replace`: what is not said any more is gone."""
        body = self.read(kind, name)
        self._check(kind, "spec", spec)
        changed = {**body, "spec": copy.deepcopy(spec)}
        changed["metadata"]["generation"] += body["spec"] != spec
        return self._changed(changed)

    def annotate(self, kind: str, name: str, key: str, value: str) -> Raw:
        body = self.read(kind, name)
        body["metadata"].setdefault("annotations", {})[key] = value
        return self._changed(body)

    def strip_owners(self, kind: str, name: str) -> Raw:
        body = self.read(kind, name)
        body["metadata"].pop("ownerReferences", None)
        return self._changed(body)

    def label(self, kind: str, name: str, labels: dict[str, str]) -> Raw:
        """All labels anew. Watches select by them: for those who listen, what has none any more is gone."""
        body = self.read(kind, name)
        before = copy.deepcopy(body)
        body["metadata"]["labels"] = labels
        changed = self._changed(body)
        if not labels:
            self._announce("DELETED", {**before, "metadata": {**before["metadata"], **_version_of(changed)}})
        return changed

    def wipe_status(self, kind: str, name: str) -> Raw:
        return self._changed({**self.read(kind, name), "status": MODELS[Kind(kind)][1]().to_manifest()})

    def report(self, body: Raw) -> Raw | None:
        """A controller's new status or metadata of an object, unless it is gone or another one by now."""
        there = self.find(body["kind"], body["metadata"]["name"])
        if there is None or there["metadata"]["uid"] != body["metadata"]["uid"]:
            return None
        return self._changed(body)

    def remove(self, kind: str, name: str) -> None:
        """Without a trace but the event, which has a version of its own."""
        body = self.objects.pop((kind, name), None)
        if body is not None:
            self._tell("DELETED", body)

    def _changed(self, body: Raw) -> Raw:
        there = self.objects[body["kind"], body["metadata"]["name"]]
        if _content(there) == _content(body):
            return copy.deepcopy(there)
        return self._store("MODIFIED", body)

    def _store(self, type_: str, body: Raw) -> Raw:
        self.objects[body["kind"], body["metadata"]["name"]] = body
        return self._tell(type_, body)

    def _tell(self, type_: str, body: Raw) -> Raw:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self._announce(type_, copy.deepcopy(body))
        return copy.deepcopy(body)

    def _announce(self, type_: str, body: Raw) -> None:
        change = Change(type_, body)  # one for all: nobody who hears it writes to it
        for watcher in list(self.watchers):
            watcher(change)


def _version_of(body: Raw) -> Raw:
    return {"resourceVersion": body["metadata"]["resourceVersion"]}


def _content(body: Raw) -> Raw:
    metadata = {key: value for key, value in body["metadata"].items() if key != "resourceVersion"}
    return {**body, "metadata": metadata}


def _owners(body: Raw) -> set[str]:
    return {owner["uid"] for owner in body["metadata"].get("ownerReferences", [])}


def is_orphan(server: ApiServer, body: Raw) -> bool:
    """Whether it had owners, and all of them are gone."""
    alive = {other["metadata"]["uid"] for other in server.objects.values()}
    owners = _owners(body)
    return bool(owners) and not owners & alive
