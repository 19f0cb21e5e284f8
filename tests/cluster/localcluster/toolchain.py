"""Everything that must be on the machine before a cluster can start, and its installation."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster import debian_packages, golang, locks, progress
from localcluster.errors import ClusterError
from localcluster.golang import GoCommands
from localcluster.locations import Cache, Checkout
from localcluster.node_setup import MOUNT_POINTS

KUBERNETES_VERSION = "v1.34.4"  # the last minor release whose kubelet takes cgroup v1 and containerd 1.6
HELM_VERSION = "v3.20.2"
COREDNS_VERSION = "v1.13.1"
DEVICE_PLUGIN_PROTOCOL = "pkg/apis/deviceplugin/v1beta1/api.proto"


@dataclass(frozen=True)
class Toolchain:
    """The built commands, by their paths."""

    kubernetes: Path
    kubectl: Path
    helm: Path

    @property
    def device_plugin_protocol(self) -> Path:
        return self.kubernetes / "deviceplugin.proto"


def kubernetes_commands(checkout: Checkout) -> GoCommands:
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
    return _of_kubernetes(checkout, "kubernetes", names)


def kubectl_commands(checkout: Checkout) -> GoCommands:
    """Apart from the server's: a user's own cluster needs no more than this, and helm."""
    return _of_kubernetes(checkout, "kubectl", ("kubectl",))


def _of_kubernetes(checkout: Checkout, name: str, commands: tuple[str, ...]) -> GoCommands:
    """Without the version variables the API server calls itself v0.0.0, and clients misbehave."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    versions = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    values = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
    return GoCommands(
        name=name,
        version=KUBERNETES_VERSION,
        module=checkout.kubernetes_modules,
        packages=tuple(f"k8s.io/kubernetes/cmd/{command}" for command in commands),
        variables=tuple(f"{package}.{key}={value}" for package in versions for key, value in values.items()),
    )


def helm_commands(checkout: Checkout) -> GoCommands:
    return GoCommands(
        name="helm",
        version=HELM_VERSION,
        module=checkout.kubernetes_modules / "helm",
        packages=("helm.sh/helm/v3/cmd/helm",),
        variables=(f"helm.sh/helm/v3/internal/version.version={HELM_VERSION}",),
    )


def coredns_commands(checkout: Checkout) -> GoCommands:
    """Our own command of CoreDNS's plugins: the stock one links the clients of every cloud."""
    return GoCommands(
        name="coredns",
        version=COREDNS_VERSION,
        module=checkout.kubernetes_modules / "coredns",
        packages=("finetune.dev/tests/cluster/kubernetes/coredns",),
        variables=(),
    )


def install(checkout: Checkout, cache: Cache) -> Toolchain:
    """Says what is missing, and installs and builds it."""
    install_packages(cache)
    return build(checkout, cache)


def install_packages(cache: Cache) -> None:
    with locks.exclusive(cache.root / "packages.lock", "installing packages"):
        if packages := debian_packages.missing_packages():
            progress.say(f"to install with apt: {' '.join(packages)}")
            debian_packages.install(packages, cache)
        for folder in MOUNT_POINTS:
            folder.mkdir(parents=True, exist_ok=True)


def build(checkout: Checkout, cache: Cache) -> Toolchain:
    with locks.exclusive(cache.root / "toolchain.lock", "building Kubernetes"):
        _build_missing((kubernetes_commands(checkout), kubectl_commands(checkout), helm_commands(checkout)), cache)
        _keep_device_plugin_protocol(checkout, cache)
    return find(checkout, cache)


def clients(checkout: Checkout, cache: Cache) -> tuple[Path, Path]:
    """kubectl and helm: those on the path, or else built."""
    found = [shutil.which(name) for name in ("kubectl", "helm")]
    if all(found):
        return Path(str(found[0])), Path(str(found[1]))
    kubectl, helm = kubectl_commands(checkout), helm_commands(checkout)
    with locks.exclusive(cache.root / "toolchain.lock", "building Kubernetes"):
        _build_missing((kubectl, helm), cache)
    return kubectl.folder(cache) / "kubectl", helm.folder(cache) / "helm"


def build_coredns(checkout: Checkout, cache: Cache) -> Path:
    """The command's path. A cluster does without; tests in which pods look for each other by name do not."""
    with locks.exclusive(cache.root / "toolchain.lock", "building Kubernetes"):
        _build_missing((coredns_commands(checkout),), cache)
    return coredns_commands(checkout).folder(cache) / "coredns"


def _build_missing(wanted: Sequence[GoCommands], cache: Cache) -> None:
    unbuilt = [commands for commands in wanted if not commands.are_built(cache)]
    for commands in unbuilt:
        names = ", ".join(commands.command_names())
        progress.say(f"to build with Go, once: {commands.name} {commands.version} ({names}) into {cache.binaries}")
    for commands in unbuilt:
        golang.build(commands, cache)


def find(checkout: Checkout, cache: Cache) -> Toolchain:
    """The built commands; an error when they are not built yet."""
    tools = Toolchain(
        kubernetes=kubernetes_commands(checkout).folder(cache),
        kubectl=kubectl_commands(checkout).folder(cache) / "kubectl",
        helm=helm_commands(checkout).folder(cache) / "helm",
    )
    if not (tools.kubectl.exists() and tools.helm.exists() and tools.device_plugin_protocol.exists()):
        raise ClusterError(
            "Kubernetes and helm are not built yet", remedy="run the localcluster command `toolchain` first"
        )
    return tools


def _keep_device_plugin_protocol(checkout: Checkout, cache: Cache) -> None:
    """The test device plugin speaks the kubelet's own protocol, of the very release that is built."""
    commands = kubernetes_commands(checkout)
    kept = commands.folder(cache) / "deviceplugin.proto"
    if not kept.exists():
        source = golang.module_folder(commands, "k8s.io/kubelet", cache) / DEVICE_PLUGIN_PROTOCOL
        shutil.copyfile(source, kept.with_suffix(".unfinished"))
        kept.with_suffix(".unfinished").rename(kept)
