"""From `kubectl apply` of a FineTuneJob to its first pod running, over the same Job created bare, taken in turns."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcluster import progress
from manifests import fine_tune_job
from measurement import Measurement, compared, percentile_95
from pod_watch import PodWatch, watching_pods
from stage import prepared_namespace
from workbench import Json, Workbench

PAIRS = 12


@dataclass(frozen=True)
class Start:
    """Seconds after `kubectl apply` began."""

    created: float
    """Until the pod was there; all that the operator does lies before."""
    running: float
    """Until it ran. The kubelet tells of this about once a second, so that of the small differences none is seen."""


@dataclass(frozen=True)
class Pair:
    ours: Start
    bare: Start


def measure() -> list[Measurement]:
    with prepared_namespace() as bench, watching_pods(bench) as pods:
        template = _bare_template(bench, pods)
        pairs = [_told(number, _pair(bench, pods, template, number)) for number in range(PAIRS)]
    return [
        *_figures("start.created", [(pair.ours.created, pair.bare.created) for pair in pairs]),
        *_figures("start.running", [(pair.ours.running, pair.bare.running) for pair in pairs]),
    ]


def _figures(name: str, pairs: list[tuple[float, float]]) -> list[Measurement]:
    ours, bare = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    overheads = [mine - theirs for mine, theirs in pairs]
    return [
        compared(f"{name}.median", statistics.median(ours), statistics.median(bare), "s"),
        compared(f"{name}.p95", percentile_95(ours), percentile_95(bare), "s"),
        Measurement(f"{name}.overhead.median", statistics.median(overheads), "s"),
        Measurement(f"{name}.overhead.p95", percentile_95(overheads), "s"),
    ]


def _told(number: int, pair: Pair) -> Pair:
    ours, bare = pair.ours, pair.bare
    progress.say(
        f"  … pair {number + 1} of {PAIRS}: the pod is there after {ours.created:.2f} s and runs after "
        f"{ours.running:.2f} s; of the bare Job {bare.created:.2f} s and {bare.running:.2f} s"
    )
    return pair


def _pair(bench: Workbench, pods: PodWatch, template: Json, number: int) -> Pair:
    """Both, in an order that changes, so that neither always finds the machine warm."""
    ours, bare = fine_tune_job(f"ours-{number}"), {**template, "metadata": {"name": f"bare-{number}"}}
    # What happens here begins with what the kubelet told last: without a pause, always at the same point of its second.
    draw = random.Random(number)
    if number % 2:
        second, first = _start(bench, pods, bare, draw.random()), _start(bench, pods, ours, draw.random())
        return Pair(first, second)
    return Pair(_start(bench, pods, ours, draw.random()), _start(bench, pods, bare, draw.random()))


def _start(bench: Workbench, pods: PodWatch, manifest: Json, pause_seconds: float) -> Start:
    """From applying it to its first pod running; it and its pods are gone afterwards."""
    kind, name = manifest["kind"].lower(), manifest["metadata"]["name"]
    time.sleep(pause_seconds)
    began = time.monotonic()
    bench.apply(manifest)
    created = pods.until_created(f"{name}-")
    running = pods.until_started(f"{name}-")
    bench.delete(kind, name)
    pods.until_gone(f"{name}-")
    return Start(created - began, running - began)


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
