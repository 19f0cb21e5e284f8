"""What the local cluster promises the machine: room for a second one, and no trace of one that has ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcluster import Cluster, cgroups, leftovers, load, mounts, network, node, records
from localcluster.locations import Cache, Checkout
from localcluster.processes import Process, wait_until

NAMESPACES = ("pid", "mnt", "net")


@dataclass(frozen=True)
class Traces:
    """What of a cluster can be seen on the machine."""

    processes: list[int]
    links: list[str]
    cgroups: list[Path]
    mounts: list[str]


NOTHING = Traces([], [], [], [])


@dataclass(frozen=True)
class SecondCheckout:
    """A copy of the checkout with what a cluster is started from, and a cache of its own that has the binaries."""

    checkout: Checkout
    cache: Cache

    def command(self, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        own = {"PYTHONPATH": str(self.checkout.root / "tests/cluster"), "XDG_CACHE_HOME": str(self.cache.root.parent)}
        environment = {**os.environ, **own, **({} if path is None else {"PATH": path})}
        command = [sys.executable, "-m", "localcluster", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def up(self) -> Cluster:
        """Without images and GPUs, which take time and tell nothing of what is tried here."""
        finished = self.command("up", "--gpus", "0")
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return load(self.checkout)

    def down(self) -> None:
        finished = self.command("down")
        assert finished.returncode == 0, finished.stdout + finished.stderr

    def traces(self, namespaces: frozenset[int]) -> Traces:
        link = network.link_name(self.checkout.cluster_id)
        return Traces(
            processes=[pid for pid in running_processes() if self._is_ours(pid, namespaces)],
            links=[link] if network.exists(link) else [],
            cgroups=cgroups.remaining(self.checkout.cluster_id),
            mounts=mounts.leading_into(self.checkout.root),
        )

    def is_forgotten(self) -> bool:
        return not self.checkout.state.exists() and not records.load_all(self.cache)

    def _is_ours(self, pid: int, namespaces: frozenset[int]) -> bool:
        try:
            mentioned = str(self.checkout.root) in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            return mentioned or bool(namespaces & namespaces_of(pid))
        except OSError:  # it has ended
            return False


@pytest.fixture
def second(tmp_path: Path) -> Iterator[SecondCheckout]:
    first = Checkout.of_this_package()
    copy = SecondCheckout(Checkout(tmp_path / "checkout"), Cache(tmp_path / "cache" / "finetune-operator"))
    shutil.copytree(first.root / "tests/cluster", copy.checkout.root / "tests/cluster")
    copy.cache.root.mkdir(parents=True)
    copy.cache.binaries.symlink_to(Cache.of_user().binaries)
    yield copy
    copy.command("down")


def running_processes() -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if is_running(pid)]


def is_running(pid: int) -> bool:
    try:
        return Process.of_pid(pid).is_running()
    except ProcessLookupError:
        return False


def namespaces_of(pid: int) -> frozenset[int]:
    return frozenset(Path(f"/proc/{pid}/ns/{kind}").stat().st_ino for kind in NAMESPACES)


def kill_supervisor(cluster: Cluster) -> None:
    """As the kernel would when memory runs out; the kernel ends the node's other processes with it."""
    os.kill(cluster.node.pid, signal.SIGKILL)
    assert wait_until(lambda: node.first_process(cluster.checkout) is None, 10)


def node_names(cluster: Cluster) -> list[str]:
    return cluster.kubectl("get", "nodes", "-o", "name", capture_output=True).stdout.split()


def test_two_clusters_run_side_by_side_and_the_end_of_one_leaves_nothing_but_the_other(
    cluster: Cluster, second: SecondCheckout
) -> None:
    components = node.components(cluster.checkout)
    other = second.up()
    namespaces = namespaces_of(other.node.pid)
    assert node_names(other) == [f"node/{second.checkout.cluster_id}"]
    assert node_names(cluster) == [f"node/{cluster.checkout.cluster_id}"]
    seen = second.traces(namespaces)
    assert seen.processes and seen.links and seen.cgroups and seen.mounts, "what is looked for can be seen"
    second.down()
    assert second.traces(namespaces) == NOTHING
    assert second.is_forgotten()
    cluster.wait_until_ready()
    assert node.components(cluster.checkout) == components


def test_a_killed_cluster_is_found_and_cleaned_by_the_next_up_the_next_down_and_other_checkouts(
    second: SecondCheckout,
) -> None:
    first_life = second.up()
    namespaces = namespaces_of(first_life.node.pid)
    kill_supervisor(first_life)
    assert second.traces(namespaces).cgroups, "a kill leaves something to clean"

    second_life = second.up()
    assert second.traces(namespaces).processes
    assert node_names(second_life) == [f"node/{second.checkout.cluster_id}"]
    namespaces |= namespaces_of(second_life.node.pid)
    kill_supervisor(second_life)

    leftovers.sweep(second.cache, but=Checkout.of_this_package().cluster_id)
    assert second.traces(namespaces) == NOTHING
    assert second.checkout.logs.exists(), "the logs tell why, until this checkout's own next command"
    second.down()
    assert second.is_forgotten()


def test_down_names_the_process_that_keeps_a_mount_of_a_nodes_folder(second: SecondCheckout) -> None:
    folder = second.checkout.data / "kubelet"
    folder.mkdir(parents=True)
    mount_and_stay = f"mount --bind {folder} /var/lib/kubelet && exec /bin/sleep infinity"
    keeper = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", mount_and_stay])
    try:
        assert wait_until(lambda: bool(mounts.leading_into(folder)), 10)
        finished = second.command("down")
        assert finished.returncode == 1
        assert f"/var/lib/kubelet (process {keeper.pid})" in finished.stdout + finished.stderr
    finally:
        keeper.kill()
        keeper.wait()
    second.down()
    assert second.is_forgotten()


def test_down_needs_no_iproute2_on_a_machine_that_never_had_a_cluster(second: SecondCheckout) -> None:
    finished = second.command("down", path="")
    assert finished.returncode == 0, finished.stderr
    assert "processes: none · links: none · cgroups: none " in finished.stdout + finished.stderr
