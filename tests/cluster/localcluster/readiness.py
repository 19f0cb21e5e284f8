"""When a cluster is ready: a chain of checks, each saying what is still missing."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localcluster import progress
from localcluster.api_client import ApiClient
from localcluster.configuration import ClusterConfiguration
from localcluster.errors import ClusterError
from localcluster.processes import wait_until

READY_SECONDS = 120
PROXY_HEALTH_PORT = 10256
GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class Readiness:
    configured: ClusterConfiguration
    api: ApiClient

    def missing(self) -> str:
        """The first thing that is not there yet; empty when the cluster is ready."""
        checks: tuple[Callable[[], str], ...] = (
            self._api_server_is_not_ready,
            self._node_is_not_ready,
            self._devices_are_missing,
            self._service_addresses_are_missing,
            self._service_account_is_missing,
        )
        return next((message for check in checks if (message := check())), "")

    def wait(self) -> None:
        waiting_for = ["the first process"]

        def ready() -> bool:
            waiting_for[0] = self.missing()
            return not waiting_for[0]

        with progress.step("waiting for the cluster to be ready", lambda: waiting_for[0]):
            if not wait_until(ready, READY_SECONDS, every=0.1):
                raise ClusterError(
                    f"the cluster is not ready after {READY_SECONDS} s: {waiting_for[0]}",
                    log=self.configured.checkout.logs,
                    remedy="read the log of the component that is named; `down` and `up` start afresh",
                )

    def _api_server_is_not_ready(self) -> str:
        return "" if self.api.is_ready() else "kube-apiserver is not ready"

    def _node_is_not_ready(self) -> str:
        conditions = self._node_status().get("conditions", [])
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        return "" if ready else "kubelet has not reported its node as Ready"

    def _devices_are_missing(self) -> str:
        wanted = self.configured.graphics.count
        offered = int(self._node_status().get("allocatable", {}).get(GPU, "0"))
        return "" if offered == wanted else f"device-plugin offers {offered} of {wanted} {GPU}"

    def _service_addresses_are_missing(self) -> str:
        connection = http.client.HTTPConnection(self.configured.link.node_address, PROXY_HEALTH_PORT, timeout=2)
        try:
            connection.request("GET", "/healthz")
            healthy = connection.getresponse().status == 200
        except OSError:
            healthy = False
        finally:
            connection.close()
        return "" if healthy else "kube-proxy has not written the rules of the service addresses"

    def _service_account_is_missing(self) -> str:
        answer = self.api.get("/api/v1/namespaces/default/serviceaccounts/default")
        return "" if answer.status == 200 else "kube-controller-manager has not made the default service account"

    def _node_status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.api.read(f"/api/v1/nodes/{self.configured.node_name}").get("status", {})
        return status
