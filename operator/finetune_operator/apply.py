"""Carries out a plan's actions. Each can be done twice, and the operator may die between any two."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from finetune_api.group import API_VERSION, MANAGER, Kind
from finetune_operator.cache import Cache
from finetune_operator.cluster import CONFLICT, NOT_FOUND, ApiError, Cluster
from finetune_operator.digests import event_name
from finetune_operator.plan.actions import (
    Action,
    CreateChild,
    DeleteEvaluation,
    DeleteJob,
    EmitEvent,
    Manifest,
    ShareEvaluation,
    SuspendJob,
    WriteStatus,
)
from finetune_operator.plan.conditions import timestamp
from finetune_operator.projections import job_view, owned_by_labels, resource_view
from finetune_operator.views import AnyResource

log = logging.getLogger(__name__)


class StillTerminatingError(Exception):
    """A child of the same name is still being deleted: try again when it is gone."""


async def carry_out(action: Action, resource: AnyResource, cluster: Cluster, cache: Cache) -> bool:
    """Whether it told the cache of something that the next plan should see."""
    namespace = resource.key.namespace
    match action:
        case CreateChild(manifest):
            await _create(manifest, resource, cluster, cache)
            return True
        case SuspendJob(name, uid, suspend):
            remember(cache, await cluster.set_suspended(namespace, name, uid, suspend))
        case DeleteJob(name, uid):
            await cluster.delete("batch/v1", "Job", namespace, name, uid)
        case DeleteEvaluation(name, uid):
            await cluster.delete(API_VERSION, Kind.EVALUATION.value, namespace, name, uid)
        case ShareEvaluation(name, owners):
            await _share(name, owners, resource, cluster, cache)
        case EmitEvent():
            await _emit(action, resource, cluster)
        case WriteStatus(status):
            await _write_status(status.to_manifest(), resource, cluster, cache)
    return False


def remember(cache: Cache, body: Mapping[str, Any]) -> None:
    """What a write of ours answered is known at once, not only when the watch brings it."""
    if body["kind"] == "Job":
        job = job_view(body)
        if job is not None:
            cache.put_job(job)
    else:
        cache.put_resource(resource_view(Kind(body["kind"]), body))


async def _create(manifest: Manifest, resource: AnyResource, cluster: Cluster, cache: Cache) -> None:
    try:
        remember(cache, await cluster.create(manifest))
        log.info("created %s %s", manifest["kind"], manifest["metadata"]["name"])
    except ApiError as error:
        if error.status != CONFLICT:
            raise
        await _whose(manifest, resource, cluster, cache)


async def _whose(manifest: Manifest, resource: AnyResource, cluster: Cluster, cache: Cache) -> None:
    """The name is taken: ours is an observation, one being deleted is waited for, a stranger's is a conflict."""
    found = await cluster.get(manifest)
    name = manifest["metadata"]["name"]
    if "deletionTimestamp" in found["metadata"]:
        raise StillTerminatingError(f"{manifest['kind']} {name} is still being deleted")
    owned = owned_by_labels(found["metadata"].get("labels") or {})
    shared = manifest["kind"] == Kind.EVALUATION.value
    if owned is not None and (shared or owned.uid == resource.uid):
        remember(cache, found)
    else:
        cache.note_conflict(resource.uid, name)


async def _share(
    name: str, owners: tuple[Mapping[str, Any], ...], resource: AnyResource, cluster: Cluster, cache: Cache
) -> None:
    evaluation = next(
        (item for item in cache.resources(Kind.EVALUATION, resource.key.namespace) if item.key.name == name), None
    )
    if evaluation is None:
        return
    manager = f"{MANAGER}-{resource.uid}"
    answer = await cluster.add_owners(
        Kind.EVALUATION, resource.key.namespace, name, evaluation.uid, [dict(owner) for owner in owners], manager
    )
    remember(cache, answer)


async def _write_status(status: Mapping[str, Any], resource: AnyResource, cluster: Cluster, cache: Cache) -> None:
    if status == resource.written_status:
        return
    key = resource.key
    try:
        answer = await cluster.apply_status(key.kind, key.namespace, key.name, resource.uid, status)
    except ApiError as error:
        if error.status not in (NOT_FOUND, CONFLICT):
            raise
        return  # deleted, or deleted and made anew, in the meantime: the watch will tell
    remember(cache, answer)


async def _emit(event: EmitEvent, resource: AnyResource, cluster: Cluster) -> None:
    """An Event that is there already was said by a reconcile that died afterwards."""
    now = timestamp(datetime.now(UTC))
    manifest = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name(resource.key.name, *event.about), "namespace": resource.key.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": resource.key.kind.value,
            "name": resource.key.name,
            "namespace": resource.key.namespace,
            "uid": resource.uid,
        },
        "type": "Warning" if event.warning else "Normal",
        "reason": event.reason,
        "message": event.message[:1024],
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": MANAGER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await cluster.create(manifest)
    except ApiError as error:
        if error.status not in (CONFLICT, NOT_FOUND):
            raise
