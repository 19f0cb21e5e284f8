"""Requests to the API server as they go over the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from kubernetes.aio import client
from prometheus_client import REGISTRY

from finetune_api.group import API_VERSION, Kind, Step
from finetune_api.report_parcel import LOG_LIMIT
from finetune_operator import cluster as module
from finetune_operator.cluster import LOG_BYTES, ApiError, Cluster, Page, path_of
from finetune_operator.kueue_workloads import workload_view

from .building import Raw, fine_tune_job, job_of, workload_of

PREFIX = "/apis/finetune.dev/v1alpha1/namespaces/research"


@dataclass(frozen=True)
class Request:
    """As the server saw it."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    body: Any


@dataclass
class Server:
    """Answers every request with what it was told to, and keeps it."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: list[Callable[[web.Request], Awaitable[web.Response]]] = field(default_factory=list)

    def answer(self, status: int, body: Any) -> None:
        async def respond(_: web.Request) -> web.Response:
            return web.json_response(body, status=status)

        self.answers.append(respond)

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        body = json.loads(text) if text else None
        seen = Request(request.method, request.path, dict(request.query), request.content_type, body)
        self.requests.append(seen)
        return await self.answers.pop(0)(request)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def cluster(server: Server) -> AsyncIterator[Cluster]:
    configuration = client.Configuration()
    configuration.host = server.url
    configuration.api_key = {"BearerToken": "Bearer token"}
    made = Cluster(client.ApiClient(configuration))
    yield made
    await made.close()


async def test_an_object_is_posted_to_its_collection(server: Server, cluster: Cluster) -> None:
    server.answer(201, {"kind": "FineTuneJob"})
    manifest = fine_tune_job()
    assert await cluster.create(manifest) == {"kind": "FineTuneJob"}
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", f"{PREFIX}/finetunejobs")
    assert request.query == {"fieldManager": "finetune-operator"}
    assert (request.content_type, request.body) == ("application/json", manifest)


async def test_a_status_is_applied_to_the_version_that_was_observed(server: Server, cluster: Cluster) -> None:
    server.answer(200, {"kind": "FineTuneJob"})
    await cluster.apply_status(Kind.FINE_TUNE_JOB, "research", "tuned", 42, {"phase": "Pending"})
    (request,) = server.requests
    assert (request.method, request.path) == ("PATCH", f"{PREFIX}/finetunejobs/tuned/status")
    assert request.content_type == "application/apply-patch+yaml"
    assert request.query == {"fieldManager": "finetune-operator", "force": "true"}
    assert request.body["metadata"] == {"name": "tuned", "namespace": "research", "resourceVersion": "42"}
    assert request.body["status"] == {"phase": "Pending"}
    assert "spec" not in request.body


async def test_owners_are_applied_under_a_manager_of_their_own(server: Server, cluster: Cluster) -> None:
    server.answer(200, {})
    owner = {"uid": "1"}
    await cluster.add_owners("Evaluation", API_VERSION, "research", "eval-1", "uid", [owner], "finetune-operator-1")
    (request,) = server.requests
    assert (request.method, request.path) == ("PATCH", f"{PREFIX}/evaluations/eval-1")
    assert request.query["fieldManager"] == "finetune-operator-1"
    metadata = {"name": "eval-1", "namespace": "research", "uid": "uid", "ownerReferences": [owner]}
    assert request.body["metadata"] == metadata
    assert request.body.keys() == {"apiVersion", "kind", "metadata"}


async def test_of_a_job_nothing_but_its_suspend_is_patched(server: Server, cluster: Cluster) -> None:
    server.answer(200, {})
    await cluster.set_suspended("research", "job", "uid", True)
    (request,) = server.requests
    assert (request.method, request.path) == ("PATCH", "/apis/batch/v1/namespaces/research/jobs/job")
    assert request.content_type == "application/merge-patch+json"
    assert request.body == {"metadata": {"uid": "uid"}, "spec": {"suspend": True}}


async def test_of_an_ended_job_nothing_but_its_time_to_live_is_patched(server: Server, cluster: Cluster) -> None:
    server.answer(200, {})
    await cluster.set_ttl("research", "job", "uid", 3600)
    (request,) = server.requests
    assert (request.method, request.path) == ("PATCH", "/apis/batch/v1/namespaces/research/jobs/job")
    assert request.content_type == "application/merge-patch+json"
    assert request.body == {"metadata": {"uid": "uid"}, "spec": {"ttlSecondsAfterFinished": 3600}}


async def test_of_kueues_workload_nothing_but_what_is_meant_is_patched(server: Server, cluster: Cluster) -> None:
    workload = workload_view(workload_of(job_of(fine_tune_job(), Step.TRAIN)))
    assert workload is not None
    for _ in range(2):
        server.answer(200, {})
    await cluster.set_active(workload, False)
    await cluster.set_boost(workload, 15)
    path = f"/apis/kueue.x-k8s.io/v1beta2/namespaces/research/workloads/{workload.name}"
    assert {(request.method, request.path, request.content_type) for request in server.requests} == {
        ("PATCH", path, "application/merge-patch+json")
    }
    assert [request.body for request in server.requests] == [
        {"metadata": {"uid": workload.uid}, "spec": {"active": False}},
        {"metadata": {"uid": workload.uid, "annotations": {"kueue.x-k8s.io/priority-boost": "15"}}},
    ]


async def test_a_group_that_is_not_served_has_no_version(server: Server, cluster: Cluster) -> None:
    server.answer(404, {"message": "not found"})
    assert await cluster.preferred_version("kueue.x-k8s.io") is None
    server.answer(200, {"preferredVersion": {"groupVersion": "kueue.x-k8s.io/v1beta2", "version": "v1beta2"}})
    assert await cluster.preferred_version("kueue.x-k8s.io") == "kueue.x-k8s.io/v1beta2"
    server.answer(503, {"message": "later"})
    with pytest.raises(ApiError, match="later"):
        await cluster.preferred_version("kueue.x-k8s.io")


async def test_what_is_deleted_must_have_the_uid_that_was_observed(server: Server, cluster: Cluster) -> None:
    server.answer(200, {})
    await cluster.delete("batch/v1", "Job", "research", "job", "uid")
    (request,) = server.requests
    assert (request.method, request.path) == ("DELETE", "/apis/batch/v1/namespaces/research/jobs/job")
    assert request.body == {"propagationPolicy": "Background", "preconditions": {"uid": "uid"}}


async def test_what_is_deleted_may_have_to_be_as_it_was_observed(server: Server, cluster: Cluster) -> None:
    server.answer(200, {})
    await cluster.delete("batch/v1", "Job", "research", "job", "uid", 42)
    assert server.requests[0].body["preconditions"] == {"uid": "uid", "resourceVersion": "42"}


@pytest.mark.parametrize("status", [404, 409])
async def test_what_is_gone_already_is_as_good_as_deleted(server: Server, cluster: Cluster, status: int) -> None:
    server.answer(status, {"message": "gone"})
    await cluster.delete("batch/v1", "Job", "research", "job", "uid")


async def test_lists_come_in_pages(server: Server, cluster: Cluster) -> None:
    server.answer(200, {"metadata": {"resourceVersion": "7", "continue": "next"}, "items": [{"a": 1}]})
    server.answer(200, {"metadata": {"resourceVersion": "7"}, "items": [{"a": 2}]})
    pages = [page async for page in cluster.pages("batch/v1", "Job", "", "a=b")]
    assert pages == [Page(({"a": 1},), 7), Page(({"a": 2},), 7)]
    first, second = server.requests
    assert first.path == second.path == "/apis/batch/v1/jobs"
    assert first.query == {"limit": "500", "labelSelector": "a=b"}
    assert second.query == {"limit": "500", "labelSelector": "a=b", "continue": "next"}


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("v1", "Pod", "research", "pod"), "/api/v1/namespaces/research/pods/pod"),
        (("v1", "Event", "research"), "/api/v1/namespaces/research/events"),
        (("batch/v1", "Job", ""), "/apis/batch/v1/jobs"),
        (("finetune.dev/v1alpha1", "Comparison", "research", "a"), f"{PREFIX}/comparisons/a"),
    ],
)
def test_paths(arguments: tuple[str, ...], path: str) -> None:
    assert path_of(*arguments) == path


async def test_only_the_tail_of_a_log_is_taken(server: Server, cluster: Cluster) -> None:
    async def respond(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 50_000 + "ü".encode() + b"\xff")

    server.answers.append(respond)
    tail = await cluster.log_tail("research", "pod")
    assert len(tail.encode(errors="replace")) <= LOG_BYTES + 2
    assert tail.endswith("ü\ufffd")
    (request,) = server.requests
    assert request.path == "/api/v1/namespaces/research/pods/pod/log"
    assert request.query == {"tailLines": "64"}


async def test_of_a_finished_pods_log_no_more_is_kept_than_a_report_takes(server: Server, cluster: Cluster) -> None:
    async def respond(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * (LOG_LIMIT + 50_000))

    server.answers.append(respond)
    assert len(await cluster.log_end("research", "pod")) == LOG_LIMIT
    (request,) = server.requests
    assert request.query == {"tailLines": "72", "limitBytes": str(2 * LOG_LIMIT)}


@pytest.mark.parametrize(
    ("body", "message"),
    [({"kind": "Status", "message": "exceeded quota: team"}, "exceeded quota: team"), ([], "[]"), ("no", '"no"')],
)
async def test_an_answer_that_is_no_success_says_why(server: Server, cluster: Cluster, body: Raw, message: str) -> None:
    server.answer(403, body)
    with pytest.raises(ApiError) as caught:
        await cluster.create(fine_tune_job())
    assert (caught.value.status, caught.value.message) == (403, message)


async def test_a_refused_connection_is_an_error_of_the_network() -> None:
    configuration = client.Configuration()
    configuration.host = "http://127.0.0.1:1"
    unreachable = Cluster(client.ApiClient(configuration))
    with pytest.raises(OSError, match="Connect call failed"):
        await unreachable.create(fine_tune_job())
    await unreachable.close()


async def test_a_connection_that_breaks_off_is_an_error_of_the_network_too(server: Server, cluster: Cluster) -> None:
    """Of aiohttp's own errors most are not: they would end the task that follows progress."""

    async def respond(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.answers += [respond, respond]  # a GET is asked a second time by aiohttp itself
    with pytest.raises(OSError, match="pods/pod/log"):
        await cluster.log_tail("research", "pod")


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0), ("-3", 0), ("\u0663", 0)]
)
async def test_how_long_to_stay_away_is_told_with_the_refusal(
    server: Server, cluster: Cluster, header: str, seconds: float
) -> None:
    async def respond(_: web.Request) -> web.Response:
        return web.json_response({"message": "too many requests"}, status=429, headers={"Retry-After": header})

    server.answers.append(respond)
    with pytest.raises(ApiError) as refused:
        await cluster.create(fine_tune_job())
    assert (refused.value.status, refused.value.retry_after_seconds) == (429, seconds)


async def test_a_request_that_is_not_answered_is_given_up(
    server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.05)

    async def respond(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError("never")

    server.answers.append(respond)
    with pytest.raises(TimeoutError):
        await cluster.create(fine_tune_job())


async def test_kinds_that_are_not_served_yet_are_none(server: Server, cluster: Cluster) -> None:
    server.answer(404, {})
    assert await cluster.served() == frozenset()
    server.answer(200, {"resources": [{"name": "finetunejobs"}, {"name": "finetunejobs/status"}]})
    assert "finetunejobs" in await cluster.served()
    server.answer(500, {})
    with pytest.raises(ApiError):
        await cluster.served()


def requests(verb: str, code: str) -> float:
    labels = {"verb": verb, "code": code}
    return REGISTRY.get_sample_value("finetune_operator_api_requests_total", labels) or 0.0


def log_reads(code: str) -> float:
    return REGISTRY.get_sample_value("finetune_operator_log_reads_total", {"code": code}) or 0.0


async def test_requests_are_counted_by_what_they_ask_and_what_is_answered(server: Server, cluster: Cluster) -> None:
    asked = [("create", "201"), ("create", "409"), ("list", "200"), ("get", "404")]
    before = [requests(*each) for each in asked]
    server.answer(201, {"kind": "FineTuneJob"})
    await cluster.create(fine_tune_job())
    server.answer(409, {"message": "already exists"})
    with pytest.raises(ApiError):
        await cluster.create(fine_tune_job())
    server.answer(200, {"items": [], "metadata": {"resourceVersion": "7"}})
    assert [page async for page in cluster.pages("batch/v1", "Job", "research")]
    server.answer(404, {"message": "not found"})
    with pytest.raises(ApiError):
        await cluster.get("Job", "batch/v1", "research", "none")
    assert [requests(*each) for each in asked] == [number + 1 for number in before]


async def test_logs_are_counted_apart(server: Server, cluster: Cluster) -> None:
    read, gets = log_reads("200"), requests("get", "200")
    server.answer(200, {})
    await cluster.log_tail("research", "pod")
    assert (log_reads("200"), requests("get", "200")) == (read + 1, gets)


async def test_a_request_that_nobody_answers_is_counted_without_a_code() -> None:
    configuration = client.Configuration()
    configuration.host = "http://127.0.0.1:1"
    alone = Cluster(client.ApiClient(configuration))
    before = requests("delete", "none")
    with pytest.raises(ConnectionError):
        await alone.delete("batch/v1", "Job", "research", "job", "uid")
    await alone.close()
    assert requests("delete", "none") == before + 1
