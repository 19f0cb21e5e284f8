"""Makes fresh namespaces look like a node: folders of its own, a link to the machine, forwarding."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from localcluster.node_plan import NodePlan
from localcluster.processes import wait_until

MOUNT_POINTS = tuple(
    Path(path) for path in ("/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers")
)
"""The kubelet's device-plugin folder and CNI's cache can be moved by no flag."""
LINK_TIMEOUT_SECONDS = 30


def set_up(plan: NodePlan) -> None:
    socket.sethostname(plan.node_name)
    for target, source in plan.mounts.items():
        _run("mount", "--bind", source, target)
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    _set_up_network(plan)


def _set_up_network(plan: NodePlan) -> None:
    """No default route: a pod that calls the world outside fails at once instead of hanging."""
    _run("ip", "link", "set", "lo", "up")
    if not wait_until(lambda: _link_exists(plan.link), LINK_TIMEOUT_SECONDS):
        raise SystemExit(f"the network link {plan.link} was not given to the node")
    _run("ip", "address", "add", f"{plan.node_address}/30", "dev", plan.link)
    _run("ip", "link", "set", plan.link, "up")
    # A service address is rewritten before it leaves, but the kernel wants some route to it first ...
    _run("ip", "route", "add", plan.service_network, "via", plan.host_address)
    # ... and one that no service has (such as a DNS server's) is refused, not forwarded to the machine.
    _run("iptables", "-A", "FORWARD", "-d", plan.service_network, "-j", "REJECT")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _link_exists(link: str) -> bool:
    return link in {name for _, name in socket.if_nameindex()}


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
