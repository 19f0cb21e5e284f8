"""What the operator takes: memory when idle, and API writes for one finished FineTuneJob."""

from __future__ import annotations

import json

from installation import operator_process
from localcluster import Cluster
from manifests import fine_tune_job
from measurement import Measurement
from operator_calm import is_write_of_operator
from stage import prepared_namespace
from workbench import Json, Workbench

JOBS = 3


def measure() -> list[Measurement]:
    with prepared_namespace() as bench:
        idle = resident_megabytes(bench.cluster)
        writes, progress = _writes_per_job(bench)
        after = resident_megabytes(bench.cluster)
    return [
        Measurement("operator.memory.idle", idle, "MB"),
        Measurement("operator.memory.after-jobs", after, "MB"),
        Measurement("operator.writes-per-job", writes, "writes"),
        Measurement("operator.progress-writes-per-job", progress, "writes"),
    ]


def resident_megabytes(cluster: Cluster) -> float:
    """Resident memory of the operator's process, as the kernel tells it."""
    with open(f"/proc/{operator_process(cluster)}/status") as status:
        kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return kilobytes / 1000


def _writes_per_job(bench: Workbench) -> tuple[float, float]:
    """Writes for one finished FineTuneJob, Events included, as the API server's audit log tells them: those that tell
    something, and those that only tell progress."""
    before = len(_audited(bench))
    for number in range(JOBS):
        bench.apply(fine_tune_job(f"counted-{number}"))
    for number in range(JOBS):
        bench.wait_for_phase("finetunejob", f"counted-{number}", "Succeeded")
    bench.wait_until(lambda: _is_quiet(bench), "the operator is quiet")
    written = _audited(bench)[before:]
    progress = _progress_writes(written)
    return (len(written) - progress) / JOBS, progress / JOBS


def _is_quiet(bench: Workbench) -> bool:
    models = bench.items("finetunedmodels")
    return len(models) >= JOBS and all(model.get("status", {}).get("training") for model in models)


def _audited(bench: Workbench) -> list[Json]:
    """The operator's writes in the namespace so far, as the audit log has them."""
    entries = [json.loads(line) for line in bench.cluster.audit_log.read_text().splitlines()]
    return [entry for entry in entries if is_write_of_operator(entry, bench.namespace)]


def _progress_writes(entries: list[Json]) -> int:
    """Those of a status that differs from the one before in nothing but its progress."""
    last: dict[tuple[str, str], Json] = {}
    count = 0
    for entry in entries:
        about = entry["objectRef"]
        if about.get("subresource") != "status":
            continue
        written = entry["requestObject"]["status"]
        told = {field: value for field, value in written.items() if field != "progress"}
        key = (about["resource"], about["name"])
        count += last.get(key) == told
        last[key] = told
    return count
