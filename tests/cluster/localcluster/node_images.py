"""The node's images: brought in by containerd, and handed from a cluster that ends to the next one that starts.

Pulling and unpacking torch takes more than a minute, and deleting it nearly as long.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from localcluster import node, progress
from localcluster.locations import Cache, Checkout
from localcluster.processes import Process

CTR = ("ctr", "--namespace", "k8s.io")


def present(first: Process) -> set[str]:
    return set(_ctr(first, "images", "list", "--quiet"))


def pull(first: Process, reference: str, log: Path) -> None:
    progress.run_logged(
        f"pulling {reference} into the node",
        node.enter(first, [*CTR, "images", "pull", "--plain-http", reference]),
        log=log,
        remedy="read registry.log and containerd.log beside it",
    )


def import_archive(first: Process, archive: Path) -> None:
    _ctr(first, "images", "import", str(archive))


def remove(first: Process, references: set[str]) -> None:
    if references:
        _ctr(first, "images", "remove", *sorted(references))


def remove_containers(first: Process) -> bool:
    """Leaves images alone in containerd's store, as the next node's kubelet knows no other container."""
    try:
        for container in _ctr(first, "containers", "list", "--quiet"):
            with contextlib.suppress(subprocess.CalledProcessError):  # one that has no task any more
                _ctr(first, "tasks", "delete", "--force", container)
            _ctr(first, "containers", "delete", container)
    except subprocess.CalledProcessError as error:
        progress.say(f"the node's images cannot be kept for the next cluster: {error.stderr.strip()}")
        return False
    return True


def keep(checkout: Checkout, cache: Cache) -> None:
    """Puts the store aside, unless there is one or it would have to be copied."""
    if not cache.node_images.exists():
        cache.node_images.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            store(checkout).rename(cache.node_images)


def adopt(checkout: Checkout, cache: Cache) -> None:
    """Takes the store that was put aside, if there is one; of two clusters that start, one gets it."""
    with contextlib.suppress(OSError):
        cache.node_images.rename(store(checkout))


def store(checkout: Checkout) -> Path:
    return checkout.data / "containerd"


def _ctr(first: Process, *arguments: str) -> list[str]:
    command = node.enter(first, [*CTR, *arguments])
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
