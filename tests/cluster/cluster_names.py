"""Names of services and of pods, as a cluster's DNS server gives them: CoreDNS, for as long as a test needs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from localcluster import Cluster, toolchain
from localcluster.configuration import DNS_SERVICE_ADDRESS
from localcluster.locations import Cache
from localcluster.processes import wait_until

READY_SECONDS = 60
READY_PORT = 8181
COREFILE = """\
cluster.local:53 {{
    bind {address}
    errors
    ready 127.0.0.1:{ready}
    kubernetes {{
        kubeconfig {kubeconfig}
    }}
}}
"""


@contextmanager
def served_names(cluster: Cluster) -> Iterator[None]:
    """Until the block ends, pods find each other and services by name. The server works in the node's network, at the
    address that the kubelet gives every pod for it."""
    address = f"{DNS_SERVICE_ADDRESS}/32"
    cluster.run_in_node("/sbin/ip", "address", "replace", address, "dev", "lo", check=True)
    server = _start(cluster)
    try:
        assert wait_until(lambda: _is_ready(cluster), READY_SECONDS, every=0.2), "CoreDNS is not ready"
        yield
    finally:
        server.terminate()
        server.wait()
        cluster.run_in_node("/sbin/ip", "address", "del", address, "dev", "lo", check=True)


def _start(cluster: Cluster) -> subprocess.Popen[str]:
    command = toolchain.build_coredns(cluster.checkout, Cache.of_user())
    configuration = cluster.checkout.configuration / "Corefile"
    configuration.write_text(
        COREFILE.format(address=DNS_SERVICE_ADDRESS, ready=READY_PORT, kubeconfig=cluster.kubeconfig)
    )
    ends_with_us = ["setpriv", "--pdeathsig", "KILL", "--"]
    line = _in_network_of_node(cluster, *ends_with_us, str(command), "-conf", str(configuration))
    with (cluster.checkout.logs / "coredns.log").open("w") as log:
        return subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT, text=True)


def _is_ready(cluster: Cluster) -> bool:
    url = f"http://127.0.0.1:{READY_PORT}/ready"
    ask = f"import urllib.request; urllib.request.urlopen({url!r}, timeout=1)"
    line = _in_network_of_node(cluster, sys.executable, "-c", ask)
    return subprocess.run(line, capture_output=True, check=False).returncode == 0


def _in_network_of_node(cluster: Cluster, *command: str) -> list[str]:
    return ["nsenter", f"--target={cluster.node.pid}", "--net", "--", *command]
