"""From objects, as Kubernetes prints them, to work in the queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from finetune_api.evaluation import EvaluationSpec, EvaluationStatus
from finetune_api.finetunejob import FineTuneJobSpec, FineTuneJobStatus
from finetune_api.group import Kind, Label, Step
from finetune_api.queue_order import Claim, Work, work_of

Object = Mapping[str, Any]

COMPUTING = frozenset({Step.TRAIN.value, Step.EVALUATE.value})


def works_of(objects: Iterable[Object]) -> tuple[list[Work], list[str]]:
    """The work, and a note for each resource that cannot be read: it may be of another version."""
    by_kind: dict[str, list[Object]] = defaultdict(list)
    for item in objects:
        by_kind[item.get("kind", "")].append(item)
    claims = {**_claims_of_workloads(by_kind["Workload"], by_kind["Job"]), **_claims_of_pods(by_kind["Pod"])}
    works, notes = [], []
    for kind in (Kind.FINE_TUNE_JOB, Kind.EVALUATION):
        for item in by_kind[kind.value]:
            try:
                work = _work(kind, item, claims)
            except (ValidationError, KeyError) as error:
                name = (item.get("metadata") or {}).get("name", "without a name")
                notes.append(f"{kind.value} {name} is left out, it cannot be read: {type(error).__name__}")
            else:
                works += [work] if work is not None else []
    return works, notes


def _work(kind: Kind, item: Object, claims: Mapping[str, Claim]) -> Work | None:
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    read: tuple[Any, Any] = (
        (FineTuneJobSpec.model_validate(spec), FineTuneJobStatus.model_validate(status))
        if kind is Kind.FINE_TUNE_JOB
        else (EvaluationSpec.model_validate(spec), EvaluationStatus.model_validate(status))
    )
    return work_of(kind, metadata["namespace"], metadata["name"], *read, claims.get(metadata["uid"]))


def _claims_of_pods(pods: Iterable[Object]) -> dict[str, Claim]:
    """By the uid of the resource that they work for: the highest priority and the age of the oldest that waits."""
    waiting: dict[str, list[Object]] = defaultdict(list)
    for pod in pods:
        if pod.get("status", {}).get("phase") == "Pending" and _computes(pod):
            waiting[pod["metadata"]["labels"][Label.OWNER_UID]].append(pod)
    return {
        uid: Claim(
            max(int(pod["spec"].get("priority") or 0) for pod in mine),
            min(pod["metadata"]["creationTimestamp"] for pod in mine),
        )
        for uid, mine in waiting.items()
    }


def _claims_of_workloads(workloads: Iterable[Object], jobs: Iterable[Object]) -> dict[str, Claim]:
    owners = {
        job["metadata"]["uid"]: job["metadata"]["labels"][Label.OWNER_UID]
        for job in jobs
        if job["metadata"].get("uid") and _computes(job)
    }
    return {
        owners[reference["uid"]]: Claim(
            int(workload["spec"].get("priority") or 0), workload["metadata"]["creationTimestamp"]
        )
        for workload in workloads
        for reference in workload["metadata"].get("ownerReferences") or []
        if reference["uid"] in owners
    }


def _computes(item: Object) -> bool:
    labels = item["metadata"].get("labels") or {}
    return Label.OWNER_UID.value in labels and labels.get(Label.STEP) in COMPUTING
