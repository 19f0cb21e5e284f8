"""The link between the machine and a cluster: a veth pair on a small network that nothing else uses."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from localcluster.errors import ClusterError

LINK_NETWORKS = ipaddress.IPv4Network("10.231.0.0/16")
NODE_LINK = "eth0"


@dataclass(frozen=True)
class Link:
    """The machine's end and the node's end."""

    name: str
    host_address: str
    node_address: str


def link_name(cluster_id: str) -> str:
    """At most 15 characters, as the kernel wants."""
    return "ft-" + cluster_id.rpartition("-")[2]


def choose_link(cluster_id: str, taken_addresses: Iterable[str]) -> Link:
    """A free network, the same one for the same cluster as long as nobody else took it."""
    taken = [*_routed_networks(), *(_network_of(address) for address in taken_addresses)]
    candidates = list(LINK_NETWORKS.subnets(new_prefix=30))
    first = int(hashlib.sha256(cluster_id.encode()).hexdigest(), 16) % len(candidates)
    for network in candidates[first:] + candidates[:first]:
        if not any(network.overlaps(other) for other in taken):
            return Link(link_name(cluster_id), str(network[1]), str(network[2]))
    raise ClusterError(f"no free network within {LINK_NETWORKS}", remedy="end clusters that you do not need")


def create(link: Link, node_pid: int) -> None:
    _ip("link", "add", link.name, "type", "veth", "peer", "name", NODE_LINK, "netns", str(node_pid))
    _ip("address", "add", f"{link.host_address}/30", "dev", link.name)
    _ip("link", "set", link.name, "up")


def exists(name: str) -> bool:
    """Asks the kernel, not iproute2, which a machine that never had a cluster may not have."""
    return name in {existing for _, existing in socket.if_nameindex()}


def remove(name: str) -> None:
    """The kernel removes it with the node's end, but not at once."""
    if exists(name):
        subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)


def _routed_networks() -> list[ipaddress.IPv4Network]:
    routes = json.loads(subprocess.run(["ip", "-4", "-json", "route"], capture_output=True, check=True).stdout or b"[]")
    destinations = [route["dst"] for route in routes if route["dst"] != "default"]
    return [ipaddress.IPv4Network(destination, strict=False) for destination in destinations]


def _network_of(address: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(f"{address}/30", strict=False)


def _ip(*arguments: str) -> None:
    result = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ClusterError(f"ip {' '.join(arguments)} failed: {result.stderr.strip()}", remedy="run this as root")
