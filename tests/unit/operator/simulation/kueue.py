"""Kueue's part: a Workload for each Job in a queue, as many of them admitted as there is quota for, the others held."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from finetune_operator.kueue_workloads import QUEUE_LABEL

from .api_server import ApiServer, Raw
from .virtual_time import timestamp

API_VERSION = "kueue.x-k8s.io/v1beta2"
LOOK_SECONDS = 1.0


class Kueue:
    """Looks at all there is once a second, and does one thing at a time."""

    def __init__(self, server: ApiServer, quota: int) -> None:
        self._server = server
        self.quota = quota
        """Jobs that may run at the same time."""
        self.admissions: list[str] = []
        """Names of the Jobs that were let go, in this order."""
        self._loop = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._take_up_new_jobs()
            for workload in self._workloads():
                self._look_at(workload)

    def _workloads(self) -> Iterator[Raw]:
        return iter(sorted(self._server.all("Workload"), key=lambda body: body["metadata"]["name"]))

    def _take_up_new_jobs(self) -> None:
        for job in self._server.all("Job"):
            name = f"job-{job['metadata']['name']}"
            queue = job["metadata"]["labels"].get(QUEUE_LABEL)
            if queue is None or self._server.find("Workload", name) is not None or _has_ended(job):
                continue
            metadata = job["metadata"]
            owner = {"kind": "Job", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
            self._server.create(
                {
                    "apiVersion": API_VERSION,
                    "kind": "Workload",
                    "metadata": {"name": name, "namespace": metadata["namespace"], "ownerReferences": [owner]},
                    "spec": {"queueName": queue, "active": True},
                    "status": {"conditions": [condition("QuotaReserved", False, "Pending", "no quota for it yet")]},
                }
            )

    def _look_at(self, workload: Raw) -> None:
        job = self._job_of(workload)
        if job is None or _has_ended(job):
            if not told(workload, "Finished"):
                self._tell(workload, condition("Finished", True, "Succeeded", "Job finished"))
        elif told(workload, "Admitted"):
            if not workload["spec"]["active"]:
                self.evict(job["metadata"]["name"], "Deactivated", "The workload is deactivated")
        elif workload["spec"]["active"] and self._admitted() < self.quota:
            self._admit(workload, job)

    def _admitted(self) -> int:
        return sum(told(item, "Admitted") and not told(item, "Finished") for item in self._workloads())

    def _job_of(self, workload: Raw) -> Raw | None:
        (owner,) = workload["metadata"]["ownerReferences"]
        job = self._server.find("Job", owner["name"])
        return job if job is not None and job["metadata"]["uid"] == owner["uid"] else None

    def _admit(self, workload: Raw, job: Raw) -> None:
        self.admissions.append(job["metadata"]["name"])
        told_of = [
            condition("QuotaReserved", True, "QuotaReserved", "Quota reserved in ClusterQueue gpus"),
            condition("Admitted", True, "Admitted", "The workload is admitted"),
        ]
        if told(workload, "Evicted"):
            told_of.append(condition("Evicted", False, "QuotaReserved", "Previously: evicted"))
            told_of.append(condition("Requeued", True, "Reactivated", "The workload was requeued"))
        self._tell(workload, *told_of)
        self._server.report({**job, "spec": {**job["spec"], "suspend": False}})

    def evict(
        self, job_name: str, reason: str = "Preempted", message: str = "Preempted to accommodate another"
    ) -> None:
        """The Job is held, and its quota is free."""
        workload, job = self._server.read("Workload", f"job-{job_name}"), self._server.read("Job", job_name)
        self._tell(
            workload,
            condition("Evicted", True, reason, message),
            condition("QuotaReserved", False, "Pending", message),
            condition("Admitted", False, "NoReservation", "The workload has no reservation"),
        )
        self._server.report({**job, "spec": {**job["spec"], "suspend": True}})

    def _tell(self, workload: Raw, *conditions: Raw) -> None:
        there = {item["type"]: item for item in workload["status"]["conditions"]}
        there |= {item["type"]: item for item in conditions}
        self._server.report({**workload, "status": {"conditions": list(there.values())}})


def condition(type_: str, holds: bool, reason: str, message: str) -> Raw:
    status = "True" if holds else "False"
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": timestamp(),
    }


def told(workload: Raw, type_: str) -> bool:
    return any(item["type"] == type_ and item["status"] == "True" for item in workload["status"]["conditions"])


def _has_ended(job: Raw) -> bool:
    return bool((job.get("status") or {}).get("conditions"))
