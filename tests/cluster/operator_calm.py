"""Whether the operator restarts by itself or spins, as the kubelet, the API server's audit log and the kernel tell."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from installation import OPERATOR_NAMESPACE, RESYNC_SECONDS, operator_process
from localcluster import Cluster
from workbench import Json, Workbench

WRITES = frozenset({"create", "update", "patch", "delete"})
TWO_RESYNCS = 2.0 * RESYNC_SECONDS
BUSY = 0.2
"""CPUs. Idle, with the resyncs of a test's resources, it takes a fraction; a loop takes all that it gets."""


def is_write_of_operator(entry: Json, namespace: str) -> bool:
    """Of a line of the audit log: a finished write of the operator's to something in the namespace."""
    return (
        entry["user"]["username"].startswith(f"system:serviceaccount:{OPERATOR_NAMESPACE}:")
        and entry.get("objectRef", {}).get("namespace") == namespace
        and entry["verb"] in WRITES
        and entry.get("stage") == "ResponseComplete"
    )


def operator_pods(cluster: Cluster) -> list[Json]:
    answer = cluster.kubectl("-n", OPERATOR_NAMESPACE, "get", "pods", "-o", "json", capture_output=True)
    pods: list[Json] = json.loads(answer.stdout)["items"]
    return pods


def restarts(cluster: Cluster) -> dict[str, int]:
    """How often the kubelet started the operator again, by the uid of its pod."""
    return {
        pod["metadata"]["uid"]: sum(
            container["restartCount"] for container in pod["status"].get("containerStatuses", [])
        )
        for pod in operator_pods(cluster)
    }


def wait_until_it_stands_still(bench: Workbench) -> None:
    """Until two resyncs went by without a write; fails when that never happens, or when they cost much computing."""
    with _new_writes(bench) as writes:
        still_since = _Moment.now(bench.cluster)

        def stands_still() -> bool:
            nonlocal still_since
            if next(writes):
                still_since = _Moment.now(bench.cluster)
            return time.monotonic() - still_since.at > TWO_RESYNCS

        bench.wait_until(stands_still, "two resyncs without a write of the operator")
    busy = still_since.cpus_since(bench.cluster)
    assert busy < BUSY, f"the operator writes nothing and still takes {busy:.2f} CPUs"


@dataclass(frozen=True)
class _Moment:
    at: float
    cpu_seconds: float

    @classmethod
    def now(cls, cluster: Cluster) -> _Moment:
        fields = Path(f"/proc/{operator_process(cluster)}/stat").read_text().rpartition(")")[2].split()
        return cls(time.monotonic(), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))

    def cpus_since(self, cluster: Cluster) -> float:
        now = _Moment.now(cluster)
        return (now.cpu_seconds - self.cpu_seconds) / (now.at - self.at)


@contextmanager
def _new_writes(bench: Workbench) -> Iterator[Iterator[list[Json]]]:
    """Each `next` gives the operator's writes since the last one."""
    with bench.cluster.audit_log.open() as log:
        log.seek(0, os.SEEK_END)

        def read() -> Iterator[list[Json]]:
            unfinished = ""
            while True:
                *lines, unfinished = (unfinished + log.read()).split("\n")
                entries = [json.loads(line) for line in lines]
                yield [entry for entry in entries if is_write_of_operator(entry, bench.namespace)]

        yield read()
