"""What the operator takes: memory when idle, and API writes for one finished FineTuneJob."""

from __future__ import annotations

import json
from collections import Counter

from installation import OPERATOR_NAMESPACE, operator_process
from localcluster import Cluster
from manifests import fine_tune_job
from measurement import Measurement
from stage import prepared_namespace
from workbench import Workbench

JOBS = 3
WRITES = frozenset({"create", "update", "patch", "delete"})


def measure() -> list[Measurement]:
    with prepared_namespace() as bench:
        idle = resident_megabytes(bench.cluster)
        writes = _writes_per_job(bench)
        after = resident_megabytes(bench.cluster)
    return [
        Measurement("operator.memory.idle", idle, "MB"),
        Measurement("operator.memory.after-jobs", after, "MB"),
        Measurement("operator.writes-per-job", writes, "writes"),
    ]


def resident_megabytes(cluster: Cluster) -> float:
    """Resident memory of the operator's process, as the kernel tells it."""
    with open(f"/proc/{operator_process(cluster)}/status") as status:
        kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return kilobytes / 1000


def _writes_per_job(bench: Workbench) -> float:
    """Counted at the API server's audit log, Events included, and so are the few writes that tell progress."""
    before = _audited(bench)
    for number in range(JOBS):
        bench.apply(fine_tune_job(f"counted-{number}"))
    for number in range(JOBS):
        bench.wait_for_phase("finetunejob", f"counted-{number}", "Succeeded")
    bench.wait_until(lambda: _is_quiet(bench), "the operator is quiet")
    return (_audited(bench) - before).total() / JOBS


def _is_quiet(bench: Workbench) -> bool:
    models = bench.items("finetunedmodels")
    return len(models) >= JOBS and all(model.get("status", {}).get("training") for model in models)


def _audited(bench: Workbench) -> Counter[str]:
    """The operator's writes so far, by verb and resource."""
    user = f"system:serviceaccount:{OPERATOR_NAMESPACE}:"
    counted: Counter[str] = Counter()
    for line in bench.cluster.audit_log.read_text().splitlines():
        entry = json.loads(line)
        about = entry.get("objectRef", {})
        ours = entry["user"]["username"].startswith(user) and about.get("namespace") == bench.namespace
        if ours and entry["verb"] in WRITES and entry.get("stage") == "ResponseComplete":
            counted[f"{entry['verb']} {about['resource']}/{about.get('subresource', '')}"] += 1
    return counted
