"""Kueue's Workloads: one stands for each Job that waits in one of its queues. Kueue need not be there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KUEUE_GROUP = "kueue.x-k8s.io"
WORKLOADS = "workloads"
QUEUE_LABEL = f"{KUEUE_GROUP}/queue-name"
"""Label on a Job that names the LocalQueue in which it waits. From then on Kueue holds the Job and lets it go."""
BOOST_ANNOTATION = f"{KUEUE_GROUP}/priority-boost"
"""Annotation on a Workload that Kueue adds to its priority, where its feature gate PriorityBoost is on."""

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class KueueCondition:
    """One of a Workload's conditions, in Kueue's own words."""

    type: str
    holds: bool
    reason: str
    message: str
    since: str = ""


@dataclass(frozen=True)
class KueueWorkload:
    """What Kueue says of one Job."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    api_version: str
    """The version of Kueue's API that it was read in."""
    job_uid: str
    active: bool = True
    """Whether it may be admitted; one that is not is evicted, and waits until it may again."""
    boost: int = 0
    priority: int = 0
    created_at: str = ""
    conditions: tuple[KueueCondition, ...] = ()

    def condition(self, type_: str) -> KueueCondition | None:
        return next((item for item in self.conditions if item.type == type_), None)

    def holds(self, type_: str) -> bool:
        found = self.condition(type_)
        return found is not None and found.holds


def workload_view(body: Raw) -> KueueWorkload | None:
    """None for one that stands for something else than a Job."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    owners = metadata.get("ownerReferences") or []
    job_uid = next((owner["uid"] for owner in owners if owner.get("kind") == "Job"), "")
    if not job_uid:
        return None
    return KueueWorkload(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=int(metadata.get("resourceVersion", 0)),
        api_version=body["apiVersion"],
        job_uid=job_uid,
        active=spec.get("active") is not False,
        priority=int(spec.get("priority") or 0),
        created_at=metadata.get("creationTimestamp", ""),
        boost=_boost(metadata.get("annotations") or {}),
        conditions=tuple(_condition(item) for item in status.get("conditions") or []),
    )


def _condition(item: Raw) -> KueueCondition:
    return KueueCondition(
        item["type"],
        item.get("status") == "True",
        item.get("reason", ""),
        item.get("message", ""),
        item.get("lastTransitionTime", ""),
    )


def _boost(annotations: Mapping[str, str]) -> int:
    """0 for what is missing or, as Kueue takes it, no number."""
    try:
        return int(annotations.get(BOOST_ANNOTATION, "0"))
    except ValueError:
        return 0


class KueueWorkloads:
    """By the uid of the Job that each stands for. An older version never replaces a newer one."""

    def __init__(self) -> None:
        self._by_job: dict[str, KueueWorkload] = {}

    def put(self, workload: KueueWorkload) -> None:
        known = self._by_job.get(workload.job_uid)
        if known is None or known.resource_version <= workload.resource_version:
            self._by_job[workload.job_uid] = workload

    def drop(self, workload: KueueWorkload) -> None:
        """One that was made since for the same Job is left alone."""
        known = self._by_job.get(workload.job_uid)
        if known is not None and known.uid == workload.uid:
            del self._by_job[workload.job_uid]

    def of(self, job_uid: str) -> KueueWorkload | None:
        return self._by_job.get(job_uid)

    def all(self) -> list[KueueWorkload]:
        return list(self._by_job.values())
