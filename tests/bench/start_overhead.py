"""From `kubectl apply` of a FineTuneJob to its first pod running, over the same Job created bare, taken in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

from localcluster import progress
from manifests import fine_tune_job
from measurement import Measurement, compared, percentile_95
from pod_watch import PodWatch, watching_pods
from stage import prepared_namespace
from workbench import Json, Workbench

PAIRS = 12


def measure() -> list[Measurement]:
    with prepared_namespace() as bench, watching_pods(bench) as pods:
        template = _bare_template(bench, pods)
        pairs = [_told(number, _pair(bench, pods, template, number)) for number in range(PAIRS)]
    ours, bare = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    overheads = [mine - theirs for mine, theirs in pairs]
    return [
        compared("start.median", statistics.median(ours), statistics.median(bare), "s"),
        compared("start.p95", percentile_95(ours), percentile_95(bare), "s"),
        Measurement("start.overhead.median", statistics.median(overheads), "s"),
        Measurement("start.overhead.p95", percentile_95(overheads), "s"),
    ]


def _told(number: int, pair: tuple[float, float]) -> tuple[float, float]:
    progress.say(f"  … pair {number + 1} of {PAIRS}: {pair[0]:.2f} s, bare {pair[1]:.2f} s")
    return pair


def _pair(bench: Workbench, pods: PodWatch, template: Json, number: int) -> tuple[float, float]:
    """Seconds of both, in an order that changes, so that neither always finds the machine warm."""
    ours, bare = fine_tune_job(f"ours-{number}"), {**template, "metadata": {"name": f"bare-{number}"}}
    if number % 2:
        second, first = _seconds_to_start(bench, pods, bare), _seconds_to_start(bench, pods, ours)
        return first, second
    return _seconds_to_start(bench, pods, ours), _seconds_to_start(bench, pods, bare)


def _seconds_to_start(bench: Workbench, pods: PodWatch, manifest: Json) -> float:
    """From applying it to its first pod running; it and its pods are gone afterwards."""
    kind, name = manifest["kind"].lower(), manifest["metadata"]["name"]
    started = time.monotonic()
    bench.apply(manifest)
    seconds = pods.until_started(f"{name}-") - started
    bench.delete(kind, name)
    pods.until_gone(f"{name}-")
    return seconds


def _bare_template(bench: Workbench, pods: PodWatch) -> Mapping[str, Any]:
    """The prepare Job as the operator makes it, without anything that ties it to a FineTuneJob."""
    bench.apply(fine_tune_job("model-job"))
    pods.until_started("model-job-")
    bench.wait_for_phase("finetunejob", "model-job", "Succeeded")
    (job,) = bench.jobs_of("finetunejob", "model-job", "prepare")
    bench.delete("finetunejob", "model-job")
    pods.until_gone("model-job-")
    spec = {name: value for name, value in job["spec"].items() if name not in ("selector", "manualSelector")}
    template = {"spec": job["spec"]["template"]["spec"]}
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": {**spec, "template": template}}
