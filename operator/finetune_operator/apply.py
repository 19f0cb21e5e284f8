"""Carries out a plan's actions. Each can be done twice, and the operator may die between any two."""

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_api.conditions import Reason
from finetune_api.group import API_VERSION, MANAGER, Kind
from finetune_api.report_parcel import report_digest, unpack
from finetune_operator.cache import Cache
from finetune_operator.cluster import CONFLICT, FORBIDDEN, INVALID, NOT_FOUND, ApiError, Cluster
from finetune_operator.digests import event_name
from finetune_operator.kueue_workloads import workload_view
from finetune_operator.plan import waiting
from finetune_operator.plan.actions import (
    Action,
    ActivateWorkload,
    BoostPriority,
    CreateChild,
    DeleteEvaluation,
    DeleteJob,
    DeleteReplicate,
    EmitEvent,
    ExpireJob,
    KeepReport,
    MakeSureItIsGone,
    Manifest,
    OwnJob,
    ShareEvaluation,
    SuspendJob,
    SuspendReplicate,
    WriteStatus,
)
from finetune_operator.plan.conditions import timestamp
from finetune_operator.projections import job_view, owned_by_labels, resource_view
from finetune_operator.views import AnyResource, Obstacle

log = logging.getLogger(__name__)

OUR_KINDS = frozenset(kind.value for kind in Kind)
REPORT_KEY = "report.html.gz"
REFUSED_SECONDS = 30.0
"""Pause before an object that was refused is asked for again."""
TERMINATING_SECONDS = 2.0
"""The same, where a predecessor of that name is still being deleted."""


class OutdatedError(Exception):
    """The resource is another one than was observed: what else was planned for it is void."""


_DELETED: Mapping[type[Action], tuple[str, str]] = {
    DeleteJob: ("batch/v1", "Job"),
    DeleteEvaluation: (API_VERSION, Kind.EVALUATION.value),
    DeleteReplicate: (API_VERSION, Kind.FINE_TUNE_JOB.value),
}


@dataclass(frozen=True)
class Applier:
    """Carries out actions for one resource, as it was observed."""

    resource: AnyResource
    cluster: Cluster
    cache: Cache
    now: datetime

    async def carry_out(self, action: Action) -> bool:
        """Whether it told the cache of something that the next plan should see."""
        match action:
            case CreateChild(manifest, needs):
                await self._create_after(needs, manifest)
                return True
            case SuspendJob() | SuspendReplicate():
                await self._suspend(action)
                return True
            case ActivateWorkload() | BoostPriority():
                await self._tell_kueue(action)
                return True
            case DeleteJob() | DeleteEvaluation() | DeleteReplicate():
                await self._delete(action)
            case ShareEvaluation() | OwnJob() | ExpireJob():
                await self._mark(action)
            case MakeSureItIsGone():
                await self._make_sure_it_is_gone(action)
            case KeepReport():
                await self._keep_report(action)
            case EmitEvent():
                await self._emit(action)
            case WriteStatus(status):
                await self._write_status(status.to_manifest())
        return False

    async def _suspend(self, action: SuspendJob | SuspendReplicate) -> None:
        job = isinstance(action, SuspendJob)
        change = self.cluster.set_suspended if job else self.cluster.set_replicate_suspended
        self._remember(await change(self.resource.key.namespace, action.name, action.uid, action.suspend))

    async def _delete(self, action: DeleteJob | DeleteEvaluation | DeleteReplicate) -> None:
        api_version, kind = _DELETED[type(action)]
        version = action.resource_version if isinstance(action, DeleteJob) else None
        await self.cluster.delete(api_version, kind, self.resource.key.namespace, action.name, action.uid, version)

    def _remember(self, body: Mapping[str, Any]) -> None:
        """What a write of ours answered is known at once, not only when the watch brings it."""
        kind = body["kind"]
        if kind == "Job":
            job = job_view(body)
            if job is not None:
                self.cache.put_job(job)
        elif kind == "Workload":
            workload = workload_view(body)
            if workload is not None:
                self.cache.workloads.put(workload)
        elif kind in OUR_KINDS:
            self.cache.put_resource(resource_view(Kind(kind), body))

    async def _tell_kueue(self, action: ActivateWorkload | BoostPriority) -> None:
        """A Workload that is gone, or another one by now, is forgotten until the watch brings what there is."""
        workload = action.workload
        try:
            match action:
                case ActivateWorkload():
                    self._remember(await self.cluster.set_active(workload, action.active))
                case BoostPriority():
                    self._remember(await self.cluster.set_boost(workload, action.boost))
        except ApiError as error:
            if error.status not in (NOT_FOUND, CONFLICT, INVALID):
                raise
            log.info("Workload %s/%s is not as it was: %s", workload.namespace, workload.name, error)
            self.cache.workloads.drop(workload)

    async def _create_after(self, needs: tuple[Manifest, ...], manifest: Manifest) -> None:
        for each in (*needs, manifest):
            if not await self._create(each):
                return

    async def _create(self, manifest: Manifest) -> bool:
        """Whether it is there now."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        try:
            made = await self.cluster.create(manifest)
        except ApiError as error:
            obstacle = await self._obstacle(manifest, error)
            if obstacle is not None:
                self.cache.note_obstacle(self.resource.uid, kind, name, obstacle)
                return False
        else:
            log.info("created %s %s/%s", kind, self.resource.key.namespace, name)
            self._remember(made)
        self.cache.clear_obstacle(self.resource.uid, kind, name)
        return True

    async def _obstacle(self, manifest: Manifest, error: ApiError) -> Obstacle | None:
        """Why the object was not made; None when it is there already and ours."""
        if error.status == CONFLICT:
            return await self._whose(manifest)
        if error.status not in (FORBIDDEN, INVALID):
            raise error
        log.warning("%s %s was refused: %s", manifest["kind"], manifest["metadata"]["name"], error)
        return self._standing_in_the_way(*waiting.refused(error.message))

    async def _whose(self, manifest: Manifest) -> Obstacle | None:
        """The name is taken: ours is an observation, one being deleted is waited for, a stranger's is a conflict."""
        name = manifest["metadata"]["name"]
        found = await self.cluster.get(manifest["kind"], manifest["apiVersion"], self.resource.key.namespace, name)
        what = f"{manifest['kind']} {name}"
        if "deletionTimestamp" in found["metadata"]:
            message = f"{what} of before is still being deleted; a new one follows."
            return self._standing_in_the_way(Reason.RETRYING, message, TERMINATING_SECONDS)
        owned = owned_by_labels(found["metadata"].get("labels") or {})
        shared = manifest["kind"] == Kind.EVALUATION.value
        if owned is not None and (shared or owned.uid == self.resource.uid):
            self._remember(found)
            return None
        message = f"{what} exists and was not made for this resource: delete or rename it."
        return self._standing_in_the_way(Reason.NAME_CONFLICT, message)

    def _standing_in_the_way(self, reason: Reason, message: str, retry_seconds: float = REFUSED_SECONDS) -> Obstacle:
        return Obstacle(reason, message, self.now, retry_seconds)

    async def _mark(self, action: ShareEvaluation | OwnJob | ExpireJob) -> None:
        match action:
            case ShareEvaluation(name, uid, owners):
                await self._share(name, uid, owners)
            case OwnJob() | ExpireJob():
                await self._look_after(action)

    async def _share(self, name: str, uid: str, owners: tuple[Mapping[str, Any], ...]) -> None:
        kind, namespace, manager = Kind.EVALUATION.value, self.resource.key.namespace, f"{MANAGER}-{self.resource.uid}"
        self._remember(await self.cluster.add_owners(kind, API_VERSION, namespace, name, uid, owners, manager))

    async def _look_after(self, job: OwnJob | ExpireJob) -> None:
        """A Job that is gone, or another one by now, needs nothing of this any more."""
        namespace = self.resource.key.namespace
        try:
            match job:
                case OwnJob(name, uid, owner):
                    answer = await self.cluster.add_owners("Job", "batch/v1", namespace, name, uid, (owner,), MANAGER)
                    log.info("gave Job %s/%s its owner back", namespace, name)
                case ExpireJob(name, uid, seconds):
                    answer = await self.cluster.set_ttl(namespace, name, uid, seconds)
        except ApiError as error:
            if error.status not in (NOT_FOUND, CONFLICT, INVALID):
                raise
            return
        self._remember(answer)

    async def _make_sure_it_is_gone(self, action: MakeSureItIsGone) -> None:
        try:
            found = await self.cluster.get(action.kind.value, API_VERSION, self.resource.key.namespace, action.name)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            return
        metadata = found["metadata"]
        if action.uid in (None, metadata["uid"]) and "deletionTimestamp" not in metadata:
            self._remember(found)
            raise OutdatedError

    async def _write_status(self, status: Mapping[str, Any]) -> None:
        if status == self.resource.written_status:
            return
        key, version = self.resource.key, self.resource.resource_version
        try:
            answer = await self.cluster.apply_status(key.kind, key.namespace, key.name, version, status)
        except ApiError as error:
            if error.status not in (NOT_FOUND, CONFLICT):
                raise
            await self._look_again()
            raise OutdatedError from error
        self._remember(answer)

    async def _look_again(self) -> None:
        """The resource was changed, deleted or made anew, and the watch has not told yet."""
        key = self.resource.key
        try:
            self._remember(await self.cluster.get(key.kind.value, API_VERSION, key.namespace, key.name))
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            self.cache.drop_resource(key, self.resource.uid)

    async def _keep_report(self, action: KeepReport) -> None:
        """What cannot be kept is not tried again: the obstacle is noted, and the next plan does without."""
        report = await self._told_report(action)
        if report is not None:
            manifest = {**action.manifest, "binaryData": {REPORT_KEY: base64.b64encode(report).decode()}}
            if await self._create(manifest):
                return
        else:
            log.warning("the log of pod %s/%s holds no whole report", self.resource.key.namespace, action.pod)
            message = f"The log of pod {action.pod} holds no whole report."
            lost = self._standing_in_the_way(Reason.INTERNAL_ERROR, message)
            self.cache.note_obstacle(self.resource.uid, "ConfigMap", action.manifest["metadata"]["name"], lost)
        raise OutdatedError

    async def _told_report(self, action: KeepReport) -> bytes | None:
        try:
            report = unpack(await self.cluster.log_end(self.resource.key.namespace, action.pod))
        except ApiError as error:
            if error.status >= 500:
                raise
            return None
        return report if report is not None and report_digest(report) == action.digest else None

    async def _emit(self, event: EmitEvent) -> None:
        """An Event that is there already was said by a reconcile that died afterwards. One that the API server does
        not take must not keep the status from being told."""
        try:
            await self.cluster.create(self._event(event))
        except ApiError as error:
            if error.status >= 500:
                raise
            if error.status != CONFLICT:
                log.warning("Event %s was refused: %s", event.reason, error)

    def _event(self, event: EmitEvent) -> Manifest:
        key, now = self.resource.key, timestamp(self.now)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": event_name(key.name, *event.about), "namespace": key.namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": key.kind.value,
                "name": key.name,
                "namespace": key.namespace,
                "uid": self.resource.uid,
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
