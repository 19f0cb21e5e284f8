"""What the first process inside a cluster's namespaces has to set up and keep running, as a JSON file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class ComponentName(StrEnum):
    ETCD = "etcd"
    CONTAINERD = "containerd"
    REGISTRY = "registry"
    API_SERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"
    KUBELET = "kubelet"
    PROXY = "kube-proxy"
    DEVICE_PLUGIN = "device-plugin"


@dataclass(frozen=True)
class Component:
    """A process that is started once something answers at `after`, and again whenever it ends."""

    name: ComponentName
    command: tuple[str, ...]
    log: str
    after: str = ""
    """What must answer first: a `host:port`, the path of a Unix socket, or `ready:` and the kubeconfig of an API
    server that must have finished its start. Empty: at once."""
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class NodePlan:
    cluster_id: str
    node_name: str
    link: str
    """The name of the network interface inside."""
    node_address: str
    host_address: str
    pod_network: str
    service_network: str
    mounts: dict[str, str]
    """Folder of the machine that the kubelet and CNI insist on: the cluster's own folder in its place."""
    run: str
    """Where processes.json is written, and where `stopped/NAME` asks for a component to be down."""
    components: tuple[Component, ...]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2))

    @classmethod
    def load(cls, path: Path) -> NodePlan:
        content = json.loads(path.read_text())
        components = tuple(
            Component(**{**one, "name": ComponentName(one["name"]), "command": tuple(one["command"])})
            for one in content.pop("components")
        )
        return cls(**content, components=components)
