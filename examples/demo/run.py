"""`make demo`: from nothing to a verdict, as a user would go: cluster, chart, model, manifests, table."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clusters import NAMESPACE, RELEASE, Demo, Json, on_a_local_cluster, on_your_cluster, timed
from localcluster import progress
from localcluster.errors import ClusterError
from localcluster.locations import Checkout
from model_import import import_model
from table import print_table

JOB, COMPARISON = "smollm2-finance", "smollm2-finance-vs-base"
FOLLOW_SECONDS = 2.0
HEARTBEAT_SECONDS = 5.0
LOOK_TIMEOUT = "--request-timeout=4s"
"""So that not even two slow looks and the pause between them are silent for more than ten seconds."""
FAILED_LOOKS = 10
"""So many failures of kubectl in a row end the demo: one alone may be the network's."""
NO_OBSTACLE = frozenset(
    {"Preparing", "Starting", "Running", "Trained", "Compared", "GateFailed", "WaitingForCandidate"}
    | {"WaitingForEvaluations"}
)
"""Reasons that need no words: all is going its way."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="a cluster of your own; default: one is started here")
    parser.add_argument("--registry", help="host/prefix that your cluster pulls images from; needed with --kubeconfig")
    options = parser.parse_args()
    if options.registry and not options.kubeconfig:
        parser.error("REGISTRY is for a cluster of your own: name it with KUBECONFIG=path")
    started = time.monotonic()
    seconds: dict[str, float] = {}
    try:
        demo = (
            on_your_cluster(options.kubeconfig, options.registry, seconds)
            if options.kubeconfig
            else on_a_local_cluster(seconds)
        )
        show(demo)
    except ClusterError as error:
        progress.say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        progress.say(
            "\ninterrupted; what was started goes on in the cluster. `make demo` again takes it up from there."
        )
        return 130
    demo.seconds["total"] = time.monotonic() - started
    write_times(demo.seconds)
    return 0


def show(demo: Demo) -> None:
    with timed(demo.seconds, "install the chart"):
        install_chart(demo)
    with timed(demo.seconds, "put the model on the models volume"):
        import_model(demo)
    progress.say("▸ kubectl apply -k examples/demo (a FineTuneJob and a Comparison; training computes on the CPU)")
    root = Checkout.of_this_package().root
    demo.kubectl("apply", "-k", str(root / "examples" / "demo"))
    started = time.monotonic()
    comparison = follow(demo)
    demo.seconds["fine-tune, evaluate, compare"] = time.monotonic() - started
    print_table(comparison)
    print_outlook(demo, comparison)


def install_chart(demo: Demo) -> None:
    """`helm install`, or `helm upgrade` where the demo installed it already."""
    chart = Checkout.of_this_package().root / "helm" / "finetune-operator"
    values = {
        "image": split_reference(demo.images["operator"]),
        "trainerImage": split_reference(demo.images["trainer"]),
        "progressIntervalSeconds": 5,
        "watchNamespaces": [] if demo.started_here else [NAMESPACE],
    }
    settings = [part for name, value in values.items() for part in ("--set-json", f"{name}={json.dumps(value)}")]
    target = ["--namespace", demo.operator_namespace, "--create-namespace", "--wait", "--timeout", "10m"]
    demo.helm("upgrade", "--install", RELEASE, str(chart), *target, *settings)


def split_reference(reference: str) -> dict[str, str]:
    repository, tag = reference.rsplit(":", 1)
    return {"repository": repository, "tag": tag}


@dataclass
class Heartbeat:
    """Says what is new at once, and what goes on every few seconds."""

    said: str = ""
    said_at: float = 0.0

    def tell(self, line: str) -> None:
        now = time.monotonic()
        if line != self.said or now - self.said_at >= HEARTBEAT_SECONDS:
            progress.say(f"  {time.strftime('%H:%M:%S')}  {line}")
            self.said, self.said_at = line, now


def last_words(error: ClusterError) -> str:
    return error.message.splitlines()[-1][-160:]


def follow(demo: Demo) -> Json:
    """Prints what changes, or that it goes on, until the Comparison of what is applied now has ended."""
    heartbeat, failures, first = Heartbeat(), 0, True
    while True:
        try:
            job = demo.get("finetunejob", JOB, LOOK_TIMEOUT) or {}
            comparison = demo.get("comparison", COMPARISON, LOOK_TIMEOUT) or {}
            failures = 0
        except ClusterError as error:
            failures += 1
            if failures == FAILED_LOOKS:
                raise
            heartbeat.tell(f"look {failures} of at most {FAILED_LOOKS} failed: {last_words(error)}")
            time.sleep(FOLLOW_SECONDS)
            continue
        heartbeat.tell(f"{standing('FineTuneJob', job)}   {standing('Comparison', comparison)}")
        if has_ended(job, comparison):
            if first:
                progress.say("  all of it was done earlier: nothing was run anew")
            return comparison
        compare_again_where_outdated(demo, job, comparison)
        first = False
        time.sleep(FOLLOW_SECONDS)


def has_ended(job: Json, comparison: Json) -> bool:
    """Whether the Comparison succeeded, about the run that the job as it is applied now has ended with."""
    for kind, resource in (("FineTuneJob", job), ("Comparison", comparison)):
        if is_current(resource) and resource["status"].get("phase") == "Failed":
            raise ClusterError(f"the {kind} failed: {message(resource)}")
    return has_succeeded(job) and has_succeeded(comparison) and is_about(comparison, job)


def compare_again_where_outdated(demo: Demo, job: Json, comparison: Json) -> None:
    """A finished Comparison stays what it is when the job's spec was changed since: it is asked for another run."""
    if has_succeeded(job) and has_succeeded(comparison) and not is_about(comparison, job):
        token = job["status"]["run"]["digest"]
        demo.kubectl("annotate", "comparison", COMPARISON, f"finetune.dev/rerun={token}", "--overwrite",
                     check=False, capture_output=True)  # fmt: skip


def is_current(resource: Json) -> bool:
    """Whether the status is about the spec as it is now."""
    generation = resource.get("metadata", {}).get("generation")
    return generation is not None and resource.get("status", {}).get("observedGeneration") == generation


def has_succeeded(resource: Json) -> bool:
    return is_current(resource) and resource["status"].get("phase") == "Succeeded"


def is_about(comparison: Json, job: Json) -> bool:
    candidates = comparison["status"].get("candidates") or [{}]
    return bool(candidates[0].get("run") == job["status"]["run"]["digest"])


def standing(kind: str, resource: Json) -> str:
    status = resource.get("status", {})
    progress_now = status.get("progress") or {}
    parts = [kind, status.get("phase") or "new"]
    if status.get("phase") not in ("Succeeded", "Failed") and progress_now:
        parts.append(f"{progress_now.get('percentage', 0)}%")
        parts += [f"loss {progress_now['loss']}"] if progress_now.get("loss") else []
        parts += [f"ETA {progress_now['eta']}"] if progress_now.get("eta") else []
        parts += [f"({progress_now['stage']})"] if progress_now.get("stage") else []
    return " ".join([*parts, *obstacle(resource)])


def obstacle(resource: Json) -> list[str]:
    """What keeps it from going on, when something does."""
    conditions = resource.get("status", {}).get("conditions", [])
    complete = next((item for item in conditions if item["type"] == "Complete"), None)
    if complete is None or complete["reason"] in NO_OBSTACLE:
        return []
    return [f"{complete['reason']}: {complete['message'][:160]}"]


def message(resource: Json) -> str:
    conditions = resource.get("status", {}).get("conditions", [])
    return next((item["message"] for item in conditions if item["type"] == "Complete"), "")


def print_outlook(demo: Demo, comparison: Json) -> None:
    report = comparison["status"]["report"]
    print(f"\nreport: volume {report['claimName']}, {report['path']}")
    local = Checkout.of_this_package().volumes / NAMESPACE / report["claimName"] / report["path"]
    if local.is_file():
        print(f"        {local}")
    print(f"\n$ kubectl -n {NAMESPACE} get ftj,eval,cmp,ftm")
    sys.stdout.flush()
    demo.kubectl("get", "ftj,eval,cmp,ftm")
    kubectl = f"{command(demo.kubectl_path)} --kubeconfig {demo.kubeconfig} -n {NAMESPACE}"
    uninstall = f"{command(demo.helm_path)} --kubeconfig {demo.kubeconfig} -n {demo.operator_namespace}"
    end = (
        "make cluster-down"
        if demo.started_here
        else f"{kubectl} delete -k examples/demo; {uninstall} uninstall {RELEASE}"
    )
    print(f"""
The cluster is up. Three things to try next:
  {kubectl} describe comparison {COMPARISON}
  {kubectl} annotate ftj {JOB} finetune.dev/rerun=1   # once more: a new run; the old one stays in the history
  {kubectl} explain finetunejob.spec.training   # then change examples/demo/finetunejob.yaml and apply it
End it with: {end}""")


def command(tool: Path) -> str:
    """As it is typed: by its name where it is on the path."""
    return tool.name if shutil.which(tool.name) else str(tool)


def write_times(seconds: Mapping[str, float]) -> None:
    folder = Checkout.of_this_package().root / "build"
    folder.mkdir(exist_ok=True)
    rounded = {step: round(duration, 1) for step, duration in seconds.items()}
    (folder / "demo-times.json").write_text(json.dumps(rounded, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
