"""Where the demo is shown: a one-node Kubernetes that is started here, or a cluster of the user's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcluster import cluster, lifecycle, preparation, progress, toolchain
from localcluster.configuration import Graphics
from localcluster.errors import ClusterError
from localcluster.images import BuiltImage, ImageBuilder, Target, load_into_node
from localcluster.lifecycle import NodeOptions
from localcluster.locations import Cache, Checkout

NAMESPACE = "finetune-demo"
CLAIMS = ("models", "artifacts")
RELEASE = "finetune-operator"
DEFINITION = "finetunejobs.finetune.dev"
REGISTRY_PREFIX = re.compile(r"[a-zA-Z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*")
Json = Mapping[str, Any]


@dataclass
class Demo:
    """A cluster to show it on, and how long each step took."""

    kubectl_path: Path
    helm_path: Path
    kubeconfig: Path
    images: Mapping[str, str]
    operator_namespace: str
    """Where the chart is installed."""
    started_here: bool = False
    """Whether the cluster is the demo's own, and not one of the user's."""
    seconds: dict[str, float] = field(default_factory=dict)

    def kubectl(self, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [str(self.kubectl_path), "--kubeconfig", str(self.kubeconfig), "-n", NAMESPACE, *arguments]
        return run(command, check=check, **options)

    def get(self, *what: str) -> Json | None:
        """None when it does not exist."""
        answer = self.kubectl("get", *what, "-o", "json", "--ignore-not-found", capture_output=True)
        found: Json | None = json.loads(answer.stdout) if answer.stdout.strip() else None
        return found

    def helm(self, *arguments: str) -> None:
        run([str(self.helm_path), "--kubeconfig", str(self.kubeconfig), *arguments], capture_output=True)


def run(command: list[str], *, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """With the command's own words as the error."""
    finished: subprocess.CompletedProcess[str] = subprocess.run(command, text=True, check=False, **options)
    if check and finished.returncode != 0:
        words = (finished.stderr or finished.stdout or "").strip()
        raise ClusterError(f"{' '.join(command[:1])} {' '.join(command[3:])[:200]}: {words[-1500:]}")
    return finished


@contextmanager
def timed(seconds: dict[str, float], title: str) -> Iterator[None]:
    started = time.monotonic()
    with progress.step(title):
        yield
    seconds[title] = time.monotonic() - started


def on_a_local_cluster(seconds: dict[str, float]) -> Demo:
    checkout, cache = Checkout.of_this_package(), Cache.of_user()
    toolchain.install_packages(cache)
    builder = ImageBuilder(checkout, cache)
    with timed(seconds, "build Kubernetes and the images (the first time: about 15 minutes)"):
        built: list[BuiltImage] = []
        preparation.run_together(
            lambda: toolchain.build(checkout, cache),
            lambda: built.extend(builder.build_and_store(list(Target))),
        )
    with timed(seconds, "start a one-node Kubernetes"):
        tools = toolchain.find(checkout, cache)
        python = Path(os.environ["LOCALCLUSTER_PYTHON"])
        lifecycle.up(checkout, cache, tools, NodeOptions(Graphics(), python))
        running = cluster.load()
        running.create_namespace(NAMESPACE)
    with timed(seconds, "bring the images to the node"):
        images = load_into_node(checkout, cache, running.node, built)
    return Demo(
        kubectl_path=tools.kubectl,
        helm_path=tools.helm,
        kubeconfig=checkout.kubeconfig,
        images={str(target): reference for target, reference in images.items()},
        operator_namespace="finetune-system",
        started_here=True,
        seconds=seconds,
    )


def on_your_cluster(kubeconfig: Path, registry: str | None, seconds: dict[str, float]) -> Demo:
    """All that can be missing is looked for before anything is built. The operator is installed beside the demo, with
    permissions in the demo's namespace alone."""
    prefix = checked_registry(registry)
    if not kubeconfig.is_file():
        raise ClusterError(f"KUBECONFIG {kubeconfig} is not a file")
    checkout, cache = Checkout.of_this_package(), Cache.of_user()
    toolchain.install_packages(cache)
    kubectl, helm = toolchain.clients(checkout, cache)
    demo = Demo(kubectl, helm, kubeconfig.resolve(), {}, operator_namespace=NAMESPACE, seconds=seconds)
    require_claims(demo)
    require_no_other_release(demo)
    with timed(seconds, "build the images"):
        builder = ImageBuilder(checkout, cache)
        built = builder.build_and_store(list(Target))
    with timed(seconds, f"push them to {prefix}"):
        demo.images = {str(image.target): push(builder, image, prefix) for image in built}
    return demo


def checked_registry(registry: str | None) -> str:
    """host/prefix, without a scheme or a slash at the end."""
    if not registry:
        raise ClusterError("REGISTRY=host/prefix is needed with KUBECONFIG: a registry that your cluster pulls from")
    if not REGISTRY_PREFIX.fullmatch(registry):
        raise ClusterError(
            f"REGISTRY {registry!r} is not of the form host/prefix, such as registry.example:5000/finetune: "
            "no https:// before it and no / behind it"
        )
    return registry


def push(builder: ImageBuilder, image: Any, registry: str) -> str:
    destination = f"{registry}/{image.target}:{image.tag}"
    builder.push(image, destination)
    return destination


def require_claims(demo: Demo) -> None:
    """Stops, naming what is missing: a volume is the administrator's to give."""
    reached = demo.kubectl("get", "namespace", NAMESPACE, check=False, capture_output=True)
    if reached.returncode != 0:
        raise ClusterError(
            f"the demo needs a namespace {NAMESPACE}: kubectl create namespace {NAMESPACE}\n{reached.stderr.strip()}"
        )
    missing = [claim for claim in CLAIMS if demo.get("pvc", claim) is None]
    if missing:
        raise ClusterError(
            f"missing in namespace {NAMESPACE}: PersistentVolumeClaim {', '.join(missing)}. The demo reads its model "
            "from the claim models and writes to the claim artifacts (2Gi each are enough); both must exist."
        )


def require_no_other_release(demo: Demo) -> None:
    """Two operators must not serve one namespace, and the demo must not replace one that others use."""
    definition = demo.get("crd", DEFINITION)
    if definition is None:
        return
    annotations = definition["metadata"].get("annotations", {})
    owner = tuple(annotations.get(f"meta.helm.sh/release-{part}", "") for part in ("namespace", "name"))
    if owner == (NAMESPACE, RELEASE):
        return
    whose = f"by the helm release {owner[1]} in namespace {owner[0]}" if all(owner) else "by hand"
    raise ClusterError(
        f"the Fine-Tune Operator's definitions are installed here already, {whose}; the demo would replace them. "
        f"With that operator, put SmolLM2-135M-Instruct on the claim models and apply the manifests yourself: "
        f"kubectl apply -k examples/demo"
    )
