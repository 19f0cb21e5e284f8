"""The commands of one cluster's components, in the order in which they come up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from localcluster import configuration, scripted_nvml
from localcluster.configuration import ClusterConfiguration
from localcluster.network import NODE_LINK
from localcluster.node_plan import Component, ComponentName, NodePlan
from localcluster.node_setup import MOUNT_POINTS
from localcluster.toolchain import Toolchain

ETCD = "127.0.0.1:2379"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"


@dataclass(frozen=True)
class ComponentCommands:
    """Builds the components of a configured cluster from the built tools."""

    configured: ClusterConfiguration
    tools: Toolchain
    device_plugin_python: Path

    def node_plan(self) -> NodePlan:
        checkout, link = self.configured.checkout, self.configured.link
        return NodePlan(
            cluster_id=checkout.cluster_id,
            node_name=self.configured.node_name,
            link=NODE_LINK,
            node_address=link.node_address,
            host_address=link.host_address,
            pod_network=configuration.POD_NETWORK,
            service_network=configuration.SERVICE_NETWORK,
            mounts={str(target): str(checkout.data / target.name) for target in MOUNT_POINTS},
            run=str(checkout.run),
            components=self._components(),
        )

    def _components(self) -> tuple[Component, ...]:
        components = [
            self._etcd(),
            self._containerd(),
            self._registry(),
            self._api_server(),
            self._controller_manager(),
            self._scheduler(),
            self._kubelet(),
            self._proxy(),
        ]
        if self.configured.graphics.count:
            components.append(self._device_plugin())
        return tuple(components)

    def _component(self, name: ComponentName, *command: str | Path, after: str = "", **environment: str) -> Component:
        log = self.configured.checkout.logs / f"{name}.log"
        return Component(name, tuple(map(str, command)), str(log), after, environment)

    def _etcd(self) -> Component:
        """In memory: a cluster does not outlive its processes, and etcd waits for the disk at each write."""
        return self._component(
            ComponentName.ETCD,
            *("etcd", "--data-dir=/run/etcd", "--logger=zap", "--log-level=warn"),
            *(f"--listen-client-urls=http://{ETCD}", f"--advertise-client-urls=http://{ETCD}"),
            "--listen-peer-urls=http://127.0.0.1:2380",
        )

    def _containerd(self) -> Component:
        return self._component(
            ComponentName.CONTAINERD, "containerd", "--config", self.configured.file("containerd.toml")
        )

    def _registry(self) -> Component:
        return self._component(
            ComponentName.REGISTRY, "docker-registry", "serve", self.configured.file("registry.yaml")
        )

    def _api_server(self) -> Component:
        certificate = self.configured.certificate
        return self._component(
            ComponentName.API_SERVER,
            self.tools.kubernetes / "kube-apiserver",
            f"--etcd-servers=http://{ETCD}",
            f"--advertise-address={self.configured.link.node_address}",
            f"--secure-port={configuration.API_PORT}",
            f"--service-cluster-ip-range={configuration.SERVICE_NETWORK}",
            "--authorization-mode=Node,RBAC",
            "--anonymous-auth=false",
            "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={certificate('ca.crt')}",
            f"--tls-cert-file={certificate('apiserver.crt')}",
            f"--tls-private-key-file={certificate('apiserver.key')}",
            f"--kubelet-client-certificate={certificate('apiserver-kubelet-client.crt')}",
            f"--kubelet-client-key={certificate('apiserver-kubelet-client.key')}",
            "--kubelet-preferred-address-types=InternalIP",  # the node's name is in no DNS: logs and exec want this
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={certificate('service-accounts.pub')}",
            f"--service-account-signing-key-file={certificate('service-accounts.key')}",
            f"--audit-policy-file={self.configured.file('audit-policy.json')}",
            f"--audit-log-path={self.configured.checkout.audit_log}",
            "--audit-log-maxsize=200",
            "--audit-log-maxbackup=1",
            "--profiling=false",
            after=ETCD,
        )

    def _controller_manager(self) -> Component:
        certificate = self.configured.certificate
        return self._component(
            ComponentName.CONTROLLER_MANAGER,
            self.tools.kubernetes / "kube-controller-manager",
            *self._kubeconfig_flags("controller-manager"),
            "--leader-elect=false",
            "--use-service-account-credentials",
            "--node-monitor-grace-period=20s",  # a node that tests take away is missed sooner
            "--pvclaimbinder-sync-period=1s",  # a claim that comes just before its volume waits for the next round
            f"--root-ca-file={certificate('ca.crt')}",
            f"--service-account-private-key-file={certificate('service-accounts.key')}",
            after=self._api_ready,
        )

    def _scheduler(self) -> Component:
        return self._component(
            ComponentName.SCHEDULER,
            self.tools.kubernetes / "kube-scheduler",
            *self._kubeconfig_flags("scheduler"),
            "--leader-elect=false",
            after=self._api_ready,
        )

    def _kubelet(self) -> Component:
        labels = self.configured.graphics.node_labels()
        return self._component(
            ComponentName.KUBELET,
            self.tools.kubernetes / "kubelet",
            f"--config={self.configured.file('kubelet.json')}",
            f"--kubeconfig={self.configured.file('kubelet.kubeconfig')}",
            f"--hostname-override={self.configured.node_name}",
            f"--node-ip={self.configured.link.node_address}",
            f"--node-labels={','.join(f'{key}={value}' for key, value in labels.items())}",
            after=self._api_address,
        )

    def _proxy(self) -> Component:
        return self._component(
            ComponentName.PROXY,
            self.tools.kubernetes / "kube-proxy",
            f"--config={self.configured.file('kube-proxy.json')}",
            after=self._api_ready,
        )

    def _device_plugin(self) -> Component:
        package_root = Path(__file__).resolve().parents[1]
        return self._component(
            ComponentName.DEVICE_PLUGIN,
            self.device_plugin_python,
            *("-m", "localcluster.device_plugin"),
            *("--protocol", self.tools.device_plugin_protocol),
            *("--run", self.configured.checkout.run),
            *("--nvml", scripted_nvml.library(self.configured.checkout.root)),
            after=CONTAINERD_SOCKET,
            PYTHONPATH=str(package_root),
            PYTHONDONTWRITEBYTECODE="1",
        )

    @property
    def _api_ready(self) -> str:
        """Before that, the roles that Kubernetes brings are not there, and their holders are refused."""
        return f"ready:{self.configured.checkout.kubeconfig}"

    @property
    def _api_address(self) -> str:
        return f"{self.configured.link.node_address}:{configuration.API_PORT}"

    def _kubeconfig_flags(self, user: str) -> list[str]:
        path = self.configured.file(f"{user}.kubeconfig")
        return [f"--{flag}={path}" for flag in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")]
