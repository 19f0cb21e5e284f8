"""The Kubernetes API: the only place that sends a request."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError
from kubernetes.aio import client, config

from finetune_api.group import API_VERSION, MANAGER, NAMES, Kind
from finetune_api.report_parcel import LOG_LIMIT
from finetune_operator.kueue_workloads import BOOST_ANNOTATION, WORKLOADS, KueueWorkload
from finetune_operator.metrics import requests
from finetune_operator.metrics.requests import Verb

Body = Mapping[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
REQUEST_SECONDS = 30
LOG_LINES = 64
LOG_BYTES = 16 * 1024
REPORT_LINES = 72
"""The lines of the longest report, and the few that may follow."""


PAGE_SIZE = 500
"""Objects that a list asks for at once."""


class ApiError(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        """How long the API server wants not to be asked again."""


FORBIDDEN, NOT_FOUND, CONFLICT, INVALID, TOO_MANY_REQUESTS = 403, 404, 409, 422, 429


def path_of(api_version: str, kind: str, namespace: str, name: str = "") -> str:
    """Path of a namespaced object, without a name of its collection, without a namespace of all there are."""
    prefix = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    scope = f"/namespaces/{namespace}" if namespace else ""
    tail = f"/{name}" if name else ""
    return f"{prefix}{scope}/{_PLURALS[kind]}{tail}"


_PLURALS = {
    "Job": "jobs",
    "Event": "events",
    "Pod": "pods",
    "Node": "nodes",
    "Service": "services",
    "ConfigMap": "configmaps",
    "Workload": WORKLOADS,
    **{kind.value: NAMES[kind].plural for kind in Kind},
}


@dataclass(frozen=True)
class Page:
    """Some of the objects of a kind, as they were when the first page was asked for."""

    items: tuple[Body, ...]
    resource_version: int


class Cluster:
    """Requests to the API server, each one call."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    async def connect(cls) -> "Cluster":
        """With the pod's service account, else with the kubeconfig of whoever runs it by hand."""
        try:
            config.load_incluster_config()
        except config.ConfigException:
            await config.load_kube_config()
        return cls(client.ApiClient())

    async def close(self) -> None:
        await self._api.close()

    async def served(self) -> frozenset[str]:
        """Plural names of the kinds of our group that the API server knows; none when it does not know the group."""
        try:
            answer = await self._request(Verb.GET, f"/apis/{API_VERSION}")
        except ApiError as error:
            if error.status == NOT_FOUND:
                return frozenset()
            raise
        return frozenset(resource["name"] for resource in answer["resources"])

    async def preferred_version(self, group: str) -> str | None:
        """The version of an API group that the API server would rather be asked for; None where the group is not."""
        try:
            answer = await self._request(Verb.GET, f"/apis/{group}")
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return str(answer["preferredVersion"]["groupVersion"])

    async def create(self, manifest: Body) -> Body:
        """POST; ApiError(409) when the name is taken."""
        path = path_of(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["namespace"])
        return await self._request(Verb.CREATE, path, manifest, query={"fieldManager": MANAGER})

    async def get(self, kind: str, api_version: str, namespace: str, name: str) -> Body:
        return await self._request(Verb.GET, path_of(api_version, kind, namespace, name))

    async def pages(self, api_version: str, kind: str, namespace: str, selector: str = "") -> AsyncIterator["Page"]:
        """All objects of a kind as they were at one moment, some at a time; without a namespace in all of them."""
        query = {"limit": str(PAGE_SIZE), **({"labelSelector": selector} if selector else {})}
        while True:
            answer = await self._request(Verb.LIST, path_of(api_version, kind, namespace), query=query)
            yield Page(tuple(answer["items"]), int(answer["metadata"]["resourceVersion"]))
            query["continue"] = answer["metadata"].get("continue", "")
            if not query["continue"]:
                return

    async def apply_status(self, kind: Kind, namespace: str, name: str, version: int, status: Body) -> Body:
        """Server-side apply of a whole status, ApiError(409) when the resource is not of this version any more.
        Its uid would not do: the status subresource passes over it, and a namesake would get the status."""
        body = {
            "apiVersion": API_VERSION,
            "kind": kind.value,
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version)},
            "status": status,
        }
        path = f"{path_of(API_VERSION, kind.value, namespace, name)}/status"
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self._request(Verb.PATCH, path, body, query=query, content_type=APPLY)

    async def add_owners(
        self, kind: str, api_version: str, namespace: str, name: str, uid: str, owners: Sequence[Body], manager: str
    ) -> Body:
        """Server-side apply of ownerReferences alone, under a manager of their own, so that others' stay."""
        metadata = {"name": name, "namespace": namespace, "uid": uid, "ownerReferences": list(owners)}
        body = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
        query = {"fieldManager": manager, "force": "true"}
        path = path_of(api_version, kind, namespace, name)
        return await self._request(Verb.PATCH, path, body, query=query, content_type=APPLY)

    async def set_suspended(self, namespace: str, name: str, uid: str, suspend: bool) -> Body:
        """A Job's spec.suspend, and nothing else of it."""
        return await self._set_suspended(path_of("batch/v1", "Job", namespace, name), uid, suspend)

    async def set_ttl(self, namespace: str, name: str, uid: str, seconds: int) -> Body:
        """A Job's spec.ttlSecondsAfterFinished, and nothing else of it."""
        body = {"metadata": {"uid": uid}, "spec": {"ttlSecondsAfterFinished": seconds}}
        path = path_of("batch/v1", "Job", namespace, name)
        return await self._request(Verb.PATCH, path, body, query={"fieldManager": MANAGER}, content_type=MERGE)

    async def set_replicate_suspended(self, namespace: str, name: str, uid: str, suspend: bool) -> Body:
        """The same of a FineTuneJob."""
        path = path_of(API_VERSION, Kind.FINE_TUNE_JOB.value, namespace, name)
        return await self._set_suspended(path, uid, suspend)

    async def _set_suspended(self, path: str, uid: str, suspend: bool) -> Body:
        body = {"metadata": {"uid": uid}, "spec": {"suspend": suspend}}
        return await self._request(Verb.PATCH, path, body, query={"fieldManager": MANAGER}, content_type=MERGE)

    async def set_active(self, workload: KueueWorkload, active: bool) -> Body:
        """A Workload's spec.active, and nothing else of it."""
        return await self._change_workload(workload, {"spec": {"active": active}})

    async def set_boost(self, workload: KueueWorkload, boost: int) -> Body:
        """The one annotation, and nothing else of a Workload."""
        return await self._change_workload(workload, {"metadata": {"annotations": {BOOST_ANNOTATION: str(boost)}}})

    async def _change_workload(self, workload: KueueWorkload, change: Body) -> Body:
        """Of this Workload, and not of one that was made anew under its name."""
        body = {**change, "metadata": {**change.get("metadata", {}), "uid": workload.uid}}
        path = path_of(workload.api_version, "Workload", workload.namespace, workload.name)
        return await self._request(Verb.PATCH, path, body, query={"fieldManager": MANAGER}, content_type=MERGE)

    async def delete(
        self, api_version: str, kind: str, namespace: str, name: str, uid: str, version: int | None = None
    ) -> None:
        """DELETE with everything that the object owns; one that is gone already is as good. Where a version is given,
        one that has changed since stays: the watch tells of it, and the next plan knows more."""
        asked = {"uid": uid} if version is None else {"uid": uid, "resourceVersion": str(version)}
        body = {"propagationPolicy": "Background", "preconditions": asked}
        try:
            await self._request(Verb.DELETE, path_of(api_version, kind, namespace, name), body)
        except ApiError as error:
            if error.status not in (NOT_FOUND, CONFLICT):
                raise

    async def log_tail(self, namespace: str, pod: str) -> str:
        """The last lines of a pod's log, at most 16 KiB."""
        query = {"tailLines": str(LOG_LINES)}
        text = await self._send(Verb.LOG, f"{path_of('v1', 'Pod', namespace, pod)}/log", None, query, "*/*")
        return text[-LOG_BYTES:].decode(errors="replace")

    async def log_end(self, namespace: str, pod: str) -> str:
        """The end of a finished pod's log, as much as may hold a report."""
        query = {"tailLines": str(REPORT_LINES), "limitBytes": str(2 * LOG_LIMIT)}
        text = await self._send(Verb.LOG, f"{path_of('v1', 'Pod', namespace, pod)}/log", None, query, "*/*")
        return text[-LOG_LIMIT:].decode(errors="replace")

    async def _request(
        self,
        verb: Verb,
        path: str,
        body: Body | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Body:
        answer: Body = json.loads(await self._send(verb, path, body, query, content_type))
        return answer

    async def _send(
        self, verb: Verb, path: str, body: Body | None, query: Mapping[str, str] | None, content_type: str
    ) -> bytes:
        with requests.counted(verb) as asked:
            response, content = await self._exchange(_METHODS[verb], path, body, query, content_type)
            asked.code = str(response.status)
        if not 200 <= response.status < 300:
            raise ApiError(response.status, _message(content), _seconds(response.headers.get("Retry-After", "")))
        return content

    async def _exchange(
        self, method: str, path: str, body: Body | None, query: Mapping[str, str] | None, content_type: str
    ) -> tuple[Any, bytes]:
        """The response, and what it holds."""
        arguments = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Content-Type": content_type, "Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = await self._api.call_api(*arguments, _request_timeout=REQUEST_SECONDS)
            return response, await response.read()
        except ClientError as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error


_METHODS = {
    Verb.GET: "GET",
    Verb.LIST: "GET",
    Verb.LOG: "GET",
    Verb.CREATE: "POST",
    Verb.PATCH: "PATCH",
    Verb.DELETE: "DELETE",
}


def _message(content: bytes) -> str:
    """What the API server says in its Status object, or the answer as it is."""
    try:
        return str(json.loads(content).get("message", ""))
    except (ValueError, AttributeError):
        return content.decode(errors="replace")[:500]


def _seconds(text: str) -> float:
    """The API server says Retry-After in whole seconds; a proxy's date is passed over."""
    return float(text) if text.isascii() and text.isdigit() else 0.0
