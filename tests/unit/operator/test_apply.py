"""Carrying out: whose a name is that is taken, what is refused, and what became of the resource meanwhile."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest

from finetune_api.conditions import Reason
from finetune_api.finetunejob import FineTuneJobStatus
from finetune_api.group import Kind, Step
from finetune_api.planning import GpuClass
from finetune_api.report_parcel import pack, report_digest
from finetune_operator.apply import Applier, OutdatedError
from finetune_operator.cache import Cache
from finetune_operator.cluster import ApiError, Body, Cluster, Page
from finetune_operator.intake import Intake
from finetune_operator.kueue_workloads import KueueWorkload, workload_view
from finetune_operator.plan.actions import (
    ActivateWorkload,
    BoostPriority,
    CreateChild,
    DeleteJob,
    EmitEvent,
    KeepReport,
    MakeSureItIsGone,
    SuspendJob,
    WriteStatus,
)
from finetune_operator.projections import resource_view
from finetune_operator.relist import Relist
from finetune_operator.settings import KueueSettings, Settings
from finetune_operator.views import Children, JobState, Key
from finetune_operator.workqueue import WorkQueue

from .building import (
    NAMESPACE,
    NOW,
    SETTINGS,
    Raw,
    being_deleted,
    comparison,
    evaluation,
    fine_tune_job,
    job_of,
    labels_of,
    made_by,
    newer,
    node,
    run_of,
    running,
    uid_of,
    workload_of,
)
from .deciding import decide, scene
from .simulation import virtual_time


class Answers(Cluster):
    """Answers every request with what it was told to, and keeps what was asked."""

    def __init__(self, *answers: Body | ApiError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        self.made: Body = {}

    def _answer(self, asked: str) -> Body:
        self.asked.append(asked)
        answer = self._answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    async def create(self, manifest: Body) -> Body:
        self.made = manifest
        return self._answer(f"create {manifest['kind']}")

    async def get(self, kind: str, api_version: str, namespace: str, name: str) -> Body:
        return self._answer(f"get {kind}")

    async def apply_status(self, kind: Kind, namespace: str, name: str, version: int, status: Body) -> Body:
        return self._answer(f"status {version}")

    async def set_suspended(self, namespace: str, name: str, uid: str, suspend: bool) -> Body:
        return self._answer(f"suspend {suspend}")

    async def set_active(self, workload: KueueWorkload, active: bool) -> Body:
        return self._answer(f"active {active}")

    async def set_boost(self, workload: KueueWorkload, boost: int) -> Body:
        return self._answer(f"boost {boost}")

    async def log_end(self, namespace: str, pod: str) -> str:
        return str(self._answer(f"log {pod}")["log"])

    async def delete(
        self, api_version: str, kind: str, namespace: str, name: str, uid: str, version: int | None = None
    ) -> None:
        self._answer(f"delete {kind} {name} {version}")


def applier(about: Raw, *answers: Body | ApiError) -> tuple[Applier, Answers, Cache]:
    cluster, cache = Answers(*answers), scene(about).cache
    return Applier(resource_view(Kind(about["kind"]), about), cluster, cache, NOW), cluster, cache


def children(cache: Cache, about: Raw) -> Children:
    return cache.children(uid_of(about))


CONFLICT = ApiError(409, "already exists")
OWNER = fine_tune_job()


def wanted() -> CreateChild:
    (manifest,) = decide(OWNER).created
    return CreateChild(manifest)


def made() -> Raw:
    """The Job as the API server answers it."""
    metadata = {**wanted().manifest["metadata"], "uid": "1", "resourceVersion": "5"}
    return {**wanted().manifest, "metadata": metadata}


def obstacles(cache: Cache) -> list[tuple[Reason, str]]:
    return [(item.reason, item.message) for item in children(cache, OWNER).obstacles.values()]


async def test_what_was_made_is_known_at_once() -> None:
    doing, _, cache = applier(OWNER, made())
    assert await doing.carry_out(wanted())
    assert [item.job.uid for item in children(cache, OWNER).items] == ["1"]


async def test_a_job_of_ours_that_is_there_already_is_an_observation() -> None:
    doing, cluster, cache = applier(OWNER, CONFLICT, made())
    assert await doing.carry_out(wanted())
    assert cluster.asked == ["create Job", "get Job"]
    assert [item.job.uid for item in children(cache, OWNER).items] == ["1"]
    assert obstacles(cache) == []


async def test_one_that_is_still_being_deleted_is_waited_for() -> None:
    doing, _, cache = applier(OWNER, CONFLICT, being_deleted(made()))
    await doing.carry_out(wanted())
    ((reason, message),) = obstacles(cache)
    assert (reason, "still being deleted" in message) == (Reason.RETRYING, True)
    assert children(cache, OWNER).items == ()


@pytest.mark.parametrize("whose", ["nobody's", "a namesake's"])
async def test_a_strangers_is_a_conflict(whose: str) -> None:
    stranger = made()
    namesake = fine_tune_job(metadata={"uid": "another"})
    stranger["metadata"]["labels"] = {} if whose == "nobody's" else labels_of(namesake, run_of(OWNER), Step.PREPARE)
    doing, _, cache = applier(OWNER, CONFLICT, stranger)
    await doing.carry_out(wanted())
    ((reason, message),) = obstacles(cache)
    assert (reason, wanted().manifest["metadata"]["name"] in message) == (Reason.NAME_CONFLICT, True)
    assert children(cache, OWNER).items == ()


async def test_an_evaluation_that_another_comparison_made_is_ours_to_share() -> None:
    about = comparison()
    found = made_by(evaluation("eval-1"), comparison("another"))
    doing, _, cache = applier(about, CONFLICT, found)
    await doing.carry_out(CreateChild(evaluation("eval-1")))
    assert cache.resource(Key(Kind.EVALUATION, NAMESPACE, "eval-1")) is not None
    assert children(cache, about).obstacles == {}


QUOTA = 'jobs.batch "x" is forbidden: exceeded quota: team, requested: count/jobs.batch=1'


@pytest.mark.parametrize(
    ("status", "message", "reason", "told"),
    [
        (403, QUOTA, Reason.WAITING_FOR_QUOTA, "ResourceQuota team"),
        (403, "namespace is being terminated", Reason.POD_REFUSED, "namespace is being terminated"),
        (422, "spec.template.spec.tolerations: Invalid value", Reason.POD_REFUSED, "tolerations: Invalid value"),
    ],
)
async def test_what_the_api_server_refuses_is_noted_for_the_status(
    status: int, message: str, reason: Reason, told: str
) -> None:
    doing, _, cache = applier(OWNER, ApiError(status, message))
    assert await doing.carry_out(wanted()), "the next plan is to see it"
    ((noted, words),) = obstacles(cache)
    assert (noted, told in words) == (reason, True)


async def test_an_obstacle_is_forgotten_when_it_is_gone() -> None:
    doing, _, cache = applier(OWNER, ApiError(403, QUOTA), made())
    await doing.carry_out(wanted())
    await doing.carry_out(wanted())
    assert obstacles(cache) == []


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_other_errors_are_for_the_queue(status: int) -> None:
    doing, _, cache = applier(OWNER, ApiError(status, "later"))
    with pytest.raises(ApiError):
        await doing.carry_out(wanted())
    assert obstacles(cache) == []


async def test_a_taken_name_whose_holder_vanished_is_for_the_queue_too() -> None:
    doing, _, _ = applier(OWNER, CONFLICT, ApiError(404, "gone"))
    with pytest.raises(ApiError):
        await doing.carry_out(wanted())


# Status and Events


async def test_a_status_that_stands_there_already_is_not_written() -> None:
    about = {**OWNER, "status": FineTuneJobStatus().to_manifest()}
    doing, cluster, _ = applier(about)
    assert not await doing.carry_out(WriteStatus(FineTuneJobStatus()))
    assert cluster.asked == []


async def test_a_status_is_written_to_the_version_that_was_observed_and_known_at_once() -> None:
    written = newer({**OWNER, "status": {"phase": "Pending"}})
    doing, cluster, cache = applier(OWNER, written)
    await doing.carry_out(WriteStatus(FineTuneJobStatus(failures=1)))
    assert cluster.asked == [f"status {OWNER['metadata']['resourceVersion']}"]
    found = cache.resource(Key(Kind.FINE_TUNE_JOB, NAMESPACE, "tuned"))
    assert found is not None
    assert found.status.phase.value == "Pending"


@pytest.mark.parametrize("error", [CONFLICT, ApiError(404, "gone")])
async def test_a_resource_that_changed_meanwhile_is_looked_at_again_and_the_plan_is_void(error: ApiError) -> None:
    namesake = newer(fine_tune_job(metadata={"uid": "another"}))
    doing, _, cache = applier(OWNER, error, namesake)
    with pytest.raises(OutdatedError):
        await doing.carry_out(WriteStatus(FineTuneJobStatus(failures=1)))
    found = cache.resource(Key(Kind.FINE_TUNE_JOB, NAMESPACE, "tuned"))
    assert found is not None
    assert found.uid == "another"


async def test_a_resource_that_was_deleted_meanwhile_is_forgotten() -> None:
    doing, _, cache = applier(OWNER, ApiError(404, "gone"), ApiError(404, "gone"))
    with pytest.raises(OutdatedError):
        await doing.carry_out(WriteStatus(FineTuneJobStatus(failures=1)))
    assert cache.resource(Key(Kind.FINE_TUNE_JOB, NAMESPACE, "tuned")) is None


EVENT = EmitEvent("Preparing", "x" * 5000, warning=False, about=("a", "b"))


async def test_an_event_that_was_said_is_not_said_again() -> None:
    doing, cluster, _ = applier(OWNER, CONFLICT)
    assert not await doing.carry_out(EVENT)
    assert cluster.asked == ["create Event"]


async def test_an_event_that_is_refused_does_not_keep_the_status_from_being_told() -> None:
    doing, _, _ = applier(OWNER, ApiError(403, "no events for you"))
    assert not await doing.carry_out(EVENT)


async def test_an_event_that_could_not_be_said_is_said_later() -> None:
    doing, _, _ = applier(OWNER, ApiError(503, "later"))
    with pytest.raises(ApiError):
        await doing.carry_out(EVENT)


async def test_a_job_that_is_held_is_known_to_be_held() -> None:
    job = job_of(OWNER, Step.TRAIN)
    doing, cluster, cache = applier(OWNER, newer({**job, "spec": {"suspend": True}}), {})
    assert await doing.carry_out(SuspendJob("job", "uid", True))
    (child,) = children(cache, OWNER).items
    assert child.job.suspended
    await doing.carry_out(DeleteJob("job", "uid", 7))
    assert cluster.asked == ["suspend True", "delete Job job 7"]


# What is said to be gone

CANDIDATE = MakeSureItIsGone(Kind.FINE_TUNE_JOB, "tuned", uid_of(OWNER))
ABOUT_IT = comparison()


async def test_what_the_watch_never_brought_is_known_before_it_is_called_deleted() -> None:
    doing, cluster, cache = applier(ABOUT_IT, OWNER)
    with pytest.raises(OutdatedError):
        await doing.carry_out(CANDIDATE)
    assert cluster.asked == ["get FineTuneJob"]
    assert cache.resource(Key(Kind.FINE_TUNE_JOB, NAMESPACE, "tuned")) is not None


@pytest.mark.parametrize(
    "answer", [ApiError(404, "gone"), fine_tune_job(metadata={"uid": "another"}), being_deleted(OWNER)]
)
async def test_what_is_gone_or_going_or_a_namesake_is_called_deleted(answer: Body | ApiError) -> None:
    doing, _, _ = applier(ABOUT_IT, answer)
    assert not await doing.carry_out(CANDIDATE)


async def test_nothing_is_called_deleted_while_the_api_server_does_not_say_so() -> None:
    doing, _, _ = applier(ABOUT_IT, ApiError(503, "not well"))
    with pytest.raises(ApiError):
        await doing.carry_out(CANDIDATE)


# What is known against what there is


class Inventory(Cluster):
    """Everything there is, by kind, in pages of one."""

    def __init__(self, version: int, *bodies: Raw, groups: frozenset[str] = frozenset()) -> None:
        self.version = version
        self.groups = groups
        self.bodies = bodies
        self.asked: list[tuple[str, str, str]] = []

    async def preferred_version(self, group: str) -> str | None:
        return f"{group}/v1beta2" if group in self.groups else None

    async def pages(self, api_version: str, kind: str, namespace: str, selector: str = "") -> AsyncIterator[Page]:
        self.asked.append((kind, namespace, selector))
        found = [body for body in self.bodies if body["kind"] == kind]
        for body in found:
            yield Page((body,), self.version)
        if not found:
            yield Page((), self.version)


def relist(cache: Cache, inventory: Inventory, **settings: Any) -> Relist:
    queue: WorkQueue[Key] = WorkQueue(lambda: 0.0)
    chosen = Settings(trainer_image=SETTINGS.trainer_image, **settings)
    return Relist(cache, inventory, Intake(cache, queue), chosen)


FAR_FUTURE = 10**9


async def test_what_was_deleted_unheard_is_forgotten() -> None:
    job = job_of(OWNER, Step.TRAIN)
    cache = scene(OWNER, job, running(job)).cache
    await relist(cache, Inventory(FAR_FUTURE, OWNER)).once()
    assert children(cache, OWNER) == Children()
    await relist(cache, Inventory(FAR_FUTURE)).once()
    assert cache.all_keys() == []


async def test_what_was_made_or_changed_unheard_is_known() -> None:
    job = job_of(OWNER, Step.TRAIN)
    cache = scene(OWNER, job).cache
    done = newer(job)
    done["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    await relist(cache, Inventory(FAR_FUTURE, OWNER, done, running(job), fine_tune_job("other"))).once()
    (child,) = children(cache, OWNER).items
    assert (child.job.state, len(child.pods)) == (JobState.COMPLETE, 1)
    assert len(cache.all_keys()) == 2


async def test_what_was_made_since_the_list_is_kept() -> None:
    job = job_of(OWNER, Step.TRAIN)
    cache = scene(OWNER, job, running(job)).cache
    await relist(cache, Inventory(1)).once()
    assert len(children(cache, OWNER).items) == 1
    assert len(cache.all_keys()) == 1


async def test_only_the_served_namespaces_are_listed_and_compared() -> None:
    elsewhere = fine_tune_job(metadata={"namespace": "elsewhere"})
    cache = scene(OWNER, elsewhere).cache
    inventory = Inventory(FAR_FUTURE)
    await relist(cache, inventory, namespaces=(NAMESPACE,)).once()
    assert [key.namespace for key in cache.all_keys()] == ["elsewhere"]
    assert {namespace for _, namespace, _ in inventory.asked} == {NAMESPACE}
    ours = "app.kubernetes.io/managed-by=finetune-operator"
    assert {(kind, selector) for kind, _, selector in inventory.asked if selector} == {("Pod", ours), ("Job", ours)}


async def test_a_node_whose_deletion_nobody_told_of_is_forgotten() -> None:
    cache = scene(node("a"), node("b")).cache
    inventory = Inventory(FAR_FUTURE, node("a"), node("c"))
    await relist(cache, inventory).once()
    assert sorted(item.name for item in cache.nodes.all()) == ["a", "c"]
    assert ("Node", "", "nvidia.com/gpu.memory") in inventory.asked


async def test_a_node_that_came_since_the_list_is_kept() -> None:
    cache = scene(node("a")).cache
    await relist(cache, Inventory(1)).once()
    assert [item.name for item in cache.nodes.all()] == ["a"]


async def test_nodes_are_not_listed_where_the_chart_says_which_gpus_there_are() -> None:
    inventory = Inventory(FAR_FUTURE)
    await relist(scene(OWNER).cache, inventory, gpu_classes=(GpuClass(product="Tesla-T4", memory_mib=15360),)).once()
    assert "Node" not in {kind for kind, _, _ in inventory.asked}


async def test_a_workload_whose_deletion_nobody_told_of_is_forgotten() -> None:
    cache = scene(OWNER, kueues_word()).cache
    inventory = Inventory(FAR_FUTURE, groups=frozenset({"kueue.x-k8s.io"}))
    await relist(cache, inventory, kueue=KueueSettings(enabled=True)).once()
    assert cache.workloads.all() == []


async def test_a_workload_that_nobody_watches_is_found() -> None:
    """Kueue may have been installed after the operator was started."""
    cache = scene(OWNER).cache
    inventory = Inventory(FAR_FUTURE, kueues_word(), groups=frozenset({"kueue.x-k8s.io"}))
    await relist(cache, inventory, kueue=KueueSettings(enabled=True)).once()
    assert len(cache.workloads.all()) == 1


@pytest.mark.parametrize("enabled", [True, False])
async def test_workloads_are_not_listed_where_kueue_is_not(enabled: bool) -> None:
    groups = frozenset[str]() if enabled else frozenset({"kueue.x-k8s.io"})
    inventory = Inventory(FAR_FUTURE, groups=groups)
    await relist(scene(OWNER).cache, inventory, kueue=KueueSettings(enabled=enabled)).once()
    assert "Workload" not in {kind for kind, _, _ in inventory.asked}


class Unsteady(Inventory):
    """Refuses every other list."""

    async def pages(self, api_version: str, kind: str, namespace: str, selector: str = "") -> AsyncIterator[Page]:
        async for page in super().pages(api_version, kind, namespace, selector):
            if len(self.asked) % 2:
                raise ApiError(503, "not well")
            yield page


def test_a_list_that_is_refused_is_asked_for_again_by_itself() -> None:
    """One after the other: with all of them from the start, the last ones would hardly ever be reached."""
    inventory = Unsteady(FAR_FUTURE)

    async def tell() -> None:
        again = asyncio.get_running_loop().create_task(relist(scene(OWNER).cache, inventory).repeat())
        await asyncio.sleep(SETTINGS.relist_seconds + 30)
        again.cancel()

    virtual_time.run(tell())
    kinds = [kind for kind, _, _ in inventory.asked]
    assert kinds[0::2] == kinds[1::2]
    assert set(kinds) == {*(kind.value for kind in Kind), "Job", "Pod", "Node"}


REPORT = gzip.compress(b"<!doctype html>")


def keeping(digest: str = "") -> KeepReport:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a-report", "namespace": NAMESPACE}}
    return KeepReport("pod", digest or report_digest(REPORT), manifest)


def log_of(report: bytes) -> Raw:
    return {"log": "\n".join(event.model_dump_json(by_alias=True) for event in pack(report))}


async def test_a_report_is_kept_as_the_log_tells_it() -> None:
    doing, cluster, _ = applier(comparison(), log_of(REPORT), {"kind": "ConfigMap"})
    await doing.carry_out(keeping())
    assert cluster.asked == ["log pod", "create ConfigMap"]
    assert cluster.made["binaryData"] == {"report.html.gz": base64.b64encode(REPORT).decode()}


@pytest.mark.parametrize(
    "answers",
    [
        [{"log": "no report"}],
        [log_of(gzip.compress(b"another"))],
        [ApiError(404, "no such pod")],
        [log_of(REPORT), ApiError(403, "quota")],
    ],
    ids=["none told", "another one", "pod gone", "refused"],
)
async def test_a_report_that_cannot_be_kept_is_noted_so_that_the_next_plan_does_without(
    answers: list[Body | ApiError],
) -> None:
    doing, _, cache = applier(comparison(), *answers)
    with pytest.raises(OutdatedError):
        await doing.carry_out(keeping())
    assert ("ConfigMap", "a-report") in children(cache, comparison()).obstacles


async def test_a_report_is_asked_for_again_when_the_api_server_is_not_well() -> None:
    doing, _, cache = applier(comparison(), ApiError(503, "later"))
    with pytest.raises(ApiError):
        await doing.carry_out(keeping())
    assert not children(cache, comparison()).obstacles


# Kueue


def kueues_word(boost: str | None = None) -> Raw:
    return workload_of(job_of(OWNER, Step.TRAIN), boost=boost)


def known_workload(cache: Cache, told: Raw | None = None) -> KueueWorkload:
    workload = workload_view(told or kueues_word())
    assert workload is not None
    cache.workloads.put(workload)
    return workload


async def test_what_kueue_is_told_is_known_at_once() -> None:
    before, after = kueues_word(), kueues_word(boost="5")
    doing, cluster, cache = applier(OWNER, after)
    workload = known_workload(cache, before)
    assert await doing.carry_out(BoostPriority(workload, 5))
    assert [item.boost for item in cache.workloads.all()] == [5]
    assert cluster.asked == ["boost 5"]


@pytest.mark.parametrize("status", [404, 409, 422])
async def test_a_workload_that_is_gone_or_another_one_is_forgotten(status: int) -> None:
    doing, _, cache = applier(OWNER, ApiError(status, "not as it was"))
    assert await doing.carry_out(ActivateWorkload(known_workload(cache), False))
    assert cache.workloads.all() == []


async def test_kueue_that_cannot_be_told_is_told_again_later() -> None:
    doing, _, cache = applier(OWNER, ApiError(503, "later"))
    with pytest.raises(ApiError, match="later"):
        await doing.carry_out(ActivateWorkload(known_workload(cache), False))
