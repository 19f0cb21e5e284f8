"""Ends a cluster and removes all it left on the machine, whatever state it is in."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from localcluster import cgroups, locks, mounts, network, node, progress, records
from localcluster.errors import ClusterError
from localcluster.locations import Cache, Checkout
from localcluster.processes import wait_until


@dataclass(frozen=True)
class Leftovers:
    """What a cluster still holds of the machine."""

    processes: list[int]
    links: list[str]
    cgroups: list[Path]
    mounts: list[str]

    def any(self) -> bool:
        return bool(self.processes or self.links or self.cgroups or self.mounts)

    def __str__(self) -> str:
        return (
            f"processes: {self.processes or 'none'} · links: {self.links or 'none'} · "
            f"cgroups: {[str(path) for path in self.cgroups] or 'none'} · mounts: {self.mounts or 'none'} · "
            "iptables: every rule was in the cluster's own network namespace"
        )


def clean(checkout: Checkout) -> Leftovers:
    """Ends the processes and removes link and cgroups; returns what could not be removed."""
    remaining = node.kill(checkout)
    link = network.link_name(checkout.cluster_id)
    network.remove(link)
    wait_until(lambda: not network.exists(link), 10, every=0.05)
    cgroups.remove(checkout.cluster_id)
    wait_until(lambda: not mounts.leading_into(checkout.state), 2, every=0.05)
    return Leftovers(
        processes=remaining,
        links=[link] if network.exists(link) else [],
        cgroups=cgroups.remaining(checkout.cluster_id),
        mounts=mounts.leading_into(checkout.state),
    )


def remove(checkout: Checkout, cache: Cache) -> Leftovers:
    """Cleans, and forgets the cluster with its folder; fails when something of it is left on the machine."""
    left = clean(checkout)
    if left.any():
        raise ClusterError(f"{checkout.cluster_id} left something behind: {left}", remedy="run `down` again")
    if checkout.state.exists():
        shutil.rmtree(checkout.state)
    records.forget(cache, checkout.cluster_id)
    return left


def sweep(cache: Cache, but: str) -> None:
    """Cleans up after clusters of other checkouts that are gone, or that were killed.

    A checkout that is still there keeps its folder, with the logs that tell why, until its own next `up` or `down`.
    """
    for record in records.load_all(cache):
        if record.cluster_id == but:
            continue
        with locks.exclusive_if_free(records.lock_file(cache, record.cluster_id)) as free:
            if free and _is_abandoned(record):
                with progress.step(f"cleaning up after the abandoned cluster of {record.checkout.root}"):
                    clean(record.checkout)
                    records.forget(cache, record.cluster_id)


def _is_abandoned(record: records.ClusterRecord) -> bool:
    return not record.checkout.kubeconfig.exists() or node.first_process(record.checkout) is None
