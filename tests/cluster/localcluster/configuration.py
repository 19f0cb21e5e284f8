"""The configuration files of one cluster's components."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.locations import Cache, Checkout
from localcluster.network import Link

POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_SERVICE_ADDRESS = "10.96.0.10"
API_PORT = 6443
REGISTRY_ADDRESS = "127.0.0.1:5000"
"""Within the node: a registry on its loopback address is the one that containerd calls without TLS."""
PAUSE_IMAGE = "localhost/busybox:1"


@dataclass(frozen=True)
class Graphics:
    """The GPUs that the test device plugin offers, and that the node's labels tell of."""

    count: int = 2
    product: str = "NVIDIA-A100-PCIE-40GB"
    memory_mib: int = 40960

    def nvml_values(self) -> dict[str, float | str]:
        """What NVML tells of each."""
        return {"name": self.product, "memory": self.memory_mib * 2**20, "busy": 250, "limit": 250}

    def node_labels(self) -> dict[str, str]:
        """As GPU Feature Discovery writes them; a node without GPUs has none."""
        if self.count == 0:
            return {}
        return {
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.count": str(self.count),
            "nvidia.com/gpu.product": self.product,
            "nvidia.com/gpu.memory": str(self.memory_mib),
            "nvidia.com/gpu.family": "ampere",
            "nvidia.com/gpu.compute.major": "8",
            "nvidia.com/gpu.compute.minor": "0",
            "nvidia.com/gpu.replicas": "1",
            "nvidia.com/mig.capable": "false",
        }


@dataclass(frozen=True)
class ClusterConfiguration:
    checkout: Checkout
    cache: Cache
    link: Link
    graphics: Graphics = field(default_factory=Graphics)

    @property
    def node_name(self) -> str:
        return self.checkout.cluster_id

    @property
    def server(self) -> str:
        return f"https://{self.link.node_address}:{API_PORT}"

    def file(self, name: str) -> Path:
        return self.checkout.configuration / name

    def certificate(self, name: str) -> Path:
        return self.checkout.certificates / name

    def write(self) -> None:
        self.checkout.configuration.mkdir(parents=True, exist_ok=True)
        (self.checkout.configuration / "cni").mkdir(exist_ok=True)
        self.file("resolv.conf").write_text("")
        self.file("containerd.toml").write_text(self._containerd())
        self.file("cni/10-bridge.conflist").write_text(json.dumps(_cni()))
        self.file("kubelet.json").write_text(json.dumps(self._kubelet(), indent=2))
        self.file("kube-proxy.json").write_text(json.dumps(self._kube_proxy(), indent=2))
        self.file("audit-policy.json").write_text(json.dumps(_audit_policy(), indent=2))
        self.file("registry.yaml").write_text(registry_configuration(self.cache.registry, REGISTRY_ADDRESS))
        for user in ("controller-manager", "scheduler", "kube-proxy", "kubelet"):
            self._write_kubeconfig(self.file(f"{user}.kubeconfig"), user)
        self._write_kubeconfig(self.checkout.kubeconfig, "admin")

    def _write_kubeconfig(self, path: Path, user: str) -> None:
        path.write_text(json.dumps(self._kubeconfig(user), indent=2))
        path.chmod(0o600)

    def _kubeconfig(self, user: str) -> dict[str, object]:
        """Certificates by path: the file moves with its cluster's folder only."""
        certificates = {
            "client-certificate": str(self.certificate(f"{user}.crt")),
            "client-key": str(self.certificate(f"{user}.key")),
        }
        cluster = {"server": self.server, "certificate-authority": str(self.certificate("ca.crt"))}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": user, "user": certificates}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": user}}],
            "current-context": "local",
        }

    def _containerd(self) -> str:
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        return f"""\
version = 2
root = "{self.checkout.data}/containerd"
state = "/run/containerd"

[grpc]
address = "/run/containerd/containerd.sock"

[{cri}]
sandbox_image = "{PAUSE_IMAGE}"
# A negative OOM score, as sandboxes get by default, needs a capability that a virtual machine's root may lack.
restrict_oom_score_adj = true

[{cri}.cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{self.file("cni")}"

[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
"""

    def _kubelet(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.certificate("ca.crt"))},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.checkout.cluster_id}",
            "clusterDNS": [DNS_SERVICE_ADDRESS],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "failCgroupV1": False,
            "failSwapOn": False,
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "nodeStatusReportFrequency": "10s",
            "nodeStatusUpdateFrequency": "1s",  # a device that goes or comes shows at once
            "resolvConf": str(self.file("resolv.conf")),
            "syncFrequency": "10s",
        }

    def _kube_proxy(self) -> dict[str, object]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self.file("kube-proxy.kubeconfig"))},
            "clusterCIDR": POD_NETWORK,
            "conntrack": {"maxPerCore": 0},  # the machine's own limit is not ours to change
            "hostnameOverride": self.node_name,
            "mode": "iptables",
        }


def registry_configuration(folder: Path, address: str) -> str:
    """No cache of what is stored: registries of several clusters serve the same folder."""
    return f"""\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http: {{addr: "{address}"}}
"""


def _cni() -> dict[str, object]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_NETWORK}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    port_map = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, port_map]}


def _audit_policy() -> dict[str, object]:
    """Who wrote what, once a request; reads are left out. Of our statuses also what was written: so progress can be
    told from all else."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "None", "verbs": ["get", "list", "watch"]},
            {"level": "Request", "verbs": ["patch"], "resources": [{"group": "finetune.dev"}]},
            {"level": "Metadata"},
        ],
    }
