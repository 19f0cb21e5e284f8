"""The operator as users install it: the chart, by helm; and its process, for tests that kill it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from localcluster import Cluster, ClusterError

OPERATOR_NAMESPACE = "finetune-system"
RELEASE = "finetune-operator"
RESYNC_SECONDS = 5
TEST_VALUES = {
    "progressIntervalSeconds": 2,
    "resyncSeconds": RESYNC_SECONDS,
    "stepResources": {"cpu": "200m", "memory": "1Gi"},
}
"""Small and quick: the node has two cores."""


def install(
    cluster: Cluster, chart: Path | None = None, images: Mapping[str, str] | None = None, **more: object
) -> None:
    """`helm upgrade --install`, waiting until the operator is ready; by default this checkout's chart and the images
    that were brought to the node. `more` are values of the chart."""
    images = cluster.images if images is None else images
    if "operator" not in images or "trainer" not in images:
        raise ClusterError("the node has no images", remedy="make images")
    values = {**TEST_VALUES, **more, "image": _parts(images["operator"]), "trainerImage": _parts(images["trainer"])}
    settings = [part for name, value in values.items() for part in ("--set-json", f"{name}={json.dumps(value)}")]
    chart = chart or cluster.checkout.root / "helm" / "finetune-operator"
    arguments = ["upgrade", "--install", RELEASE, str(chart), "--namespace", OPERATOR_NAMESPACE, "--create-namespace"]
    finished = cluster.helm(*arguments, *settings, "--wait", "--timeout", "5m", check=False, capture_output=True)
    if finished.returncode != 0:
        raise ClusterError(f"helm: {finished.stderr}")


def leave_to_the_release(cluster: Cluster, definitions: Path) -> None:
    """Definitions that were applied by hand are marked as the release's; else helm would not touch them."""
    owner = (f"meta.helm.sh/release-name={RELEASE}", f"meta.helm.sh/release-namespace={OPERATOR_NAMESPACE}")
    cluster.kubectl("annotate", "--overwrite", "-f", str(definitions), *owner, capture_output=True)
    manager = "app.kubernetes.io/managed-by=Helm"
    cluster.kubectl("label", "--overwrite", "-f", str(definitions), manager, capture_output=True)


def _parts(reference: str) -> dict[str, str]:
    repository, tag = reference.rsplit(":", 1)
    return {"repository": repository, "tag": tag}


def operator_process(cluster: Cluster) -> int:
    """Process id, as this machine counts, of the operator in the node: found by its command and its ancestors."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            inside = _is_below(process, cluster.node.pid)
        except OSError:
            continue
        if inside and b"finetune_operator" in command:
            return int(process.name)
    raise ClusterError("no process of the operator is running in the node")


def _is_below(process: Path, ancestor: int) -> bool:
    pid = int(process.name)
    while pid > 1:
        if pid == ancestor:
            return True
        status = Path(f"/proc/{pid}/status").read_text()
        pid = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))
    return False
