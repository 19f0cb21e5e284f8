"""A running cluster, as tests and commands use it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localcluster import node, scripted_nvml, toolchain, volumes
from localcluster.api_client import ApiClient
from localcluster.configuration import REGISTRY_ADDRESS, Graphics
from localcluster.errors import ClusterError
from localcluster.locations import Cache, Checkout
from localcluster.node_plan import ComponentName
from localcluster.processes import Process, wait_until
from localcluster.toolchain import Toolchain

NODE_SECONDS = 60


@dataclass(frozen=True)
class Cluster:
    """Paths and addresses of a running cluster, and what a test may do to its node."""

    checkout: Checkout
    tools: Toolchain
    node: Process
    node_address: str

    @property
    def kubeconfig(self) -> Path:
        return self.checkout.kubeconfig

    @property
    def audit_log(self) -> Path:
        """One JSON line for each write that reached the API server."""
        return self.checkout.audit_log

    @property
    def images(self) -> dict[str, str]:
        """Target of the Dockerfile: the reference that pods use. Empty before `images` was run."""
        if not self.checkout.images_file.exists():
            return {}
        images: dict[str, str] = json.loads(self.checkout.images_file.read_text())
        return images

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def kubectl(self, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        return self._tool(self.tools.kubectl, *arguments, check=check, **options)

    def helm(self, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        return self._tool(self.tools.helm, *arguments, check=check, **options)

    def run_in_node(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Among the node's processes and links, with the node's mounts; absolute paths only."""
        return subprocess.run(node.enter(self.node, list(command)), text=True, **options)

    def create_namespace(self, name: str) -> dict[str, Path]:
        """A namespace with the restricted standard and bound claims; returns the claims' folders."""
        return volumes.create_namespace(ApiClient(self.kubeconfig), self.checkout, name)

    def delete_namespace(self, name: str) -> None:
        """Removes the namespace with its volumes and their folders, and waits until it is gone."""
        volumes.delete_namespace(ApiClient(self.kubeconfig), self.checkout, name)

    def volume(self, namespace: str, claim: str) -> Path:
        """The folder of this machine that a claim is bound to."""
        return volumes.folder(self.checkout, namespace, claim)

    def stop_component(self, name: ComponentName) -> None:
        if not node.stop_component(self.checkout, name):
            raise ClusterError(f"{name} does not end", log=self._log_of(name))

    def start_component(self, name: ComponentName) -> None:
        """Returns when its process runs; after the kubelet's return, `wait_until_ready` waits for the node."""
        if not node.start_component(self.checkout, name):
            raise ClusterError(f"{name} does not start", log=self._log_of(name))

    def wait_until_ready(self) -> None:
        """Until the node is Ready by a heartbeat of after this call, with all healthy test GPUs allocatable."""
        asked = datetime.now(UTC)
        if not wait_until(lambda: self._is_ready_since(asked), NODE_SECONDS, every=0.1):
            raise ClusterError("the node does not become ready", log=self._log_of(ComponentName.KUBELET))

    def set_device_health(self, index: int, healthy: bool) -> None:
        """Makes a test GPU fail, or recover; the node's allocatable follows within about a second."""
        devices = self._devices()
        devices[sorted(devices)[index]] = healthy
        written = self.checkout.run / "devices.json.new"
        written.write_text(json.dumps(devices))
        written.rename(self.checkout.run / "devices.json")

    def describe_device(self, index: int, **values: float | str) -> None:
        """What NVML tells of a test GPU in containers that get it from now on."""
        device = sorted(self._devices())[index]
        scripted_nvml.describe(self.checkout.run, device, **{**Graphics().nvml_values(), **values})

    def status(self) -> dict[str, object]:
        return {
            "id": self.checkout.cluster_id,
            "kubeconfig": str(self.kubeconfig),
            "kubectl": str(self.tools.kubectl),
            "helm": str(self.tools.helm),
            "nodeAddress": self.node_address,
            "nodePid": self.node.pid,
            "registry": REGISTRY_ADDRESS,
            "images": self.images,
            "volumes": volumes.folders(self.checkout),
            "auditLog": str(self.audit_log),
            "logs": str(self.checkout.logs),
            "components": node.components(self.checkout),
        }

    def _is_ready_since(self, asked: datetime) -> bool:
        status = ApiClient(self.kubeconfig).read(f"/api/v1/nodes/{self.checkout.cluster_id}").get("status", {})
        ready = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), None)
        offered = int(status.get("allocatable", {}).get("nvidia.com/gpu", "0"))
        if ready is None or ready["status"] != "True" or offered != sum(self._devices().values()):
            return False
        return datetime.fromisoformat(ready["lastHeartbeatTime"]) > asked

    def _devices(self) -> dict[str, bool]:
        devices: dict[str, bool] = json.loads((self.checkout.run / "devices.json").read_text())
        return devices

    def _log_of(self, name: ComponentName) -> Path:
        return self.checkout.logs / f"{name}.log"

    def _tool(self, tool: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run([tool, *arguments], env=self.environment, text=True, **options)


def load(checkout: Checkout | None = None) -> Cluster:
    """The running cluster of a checkout: by default the one that this package lies in."""
    checkout = checkout or Checkout.of_this_package()
    first = node.first_process(checkout)
    if first is None or not checkout.kubeconfig.exists():
        raise ClusterError(f"no cluster is running for {checkout.root}", remedy="start it with `up`")
    plan = node.load_plan(checkout)
    return Cluster(checkout, toolchain.find(checkout, Cache.of_user()), first, plan.node_address)
