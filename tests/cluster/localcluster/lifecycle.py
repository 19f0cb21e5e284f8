"""Starting and ending the cluster of a checkout, so that doing it twice, or after a crash, gives the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import (
    busybox_image,
    certificates,
    cgroups,
    leftovers,
    locks,
    network,
    node,
    node_images,
    progress,
    records,
    scripted_nvml,
)
from localcluster import configuration as configurations
from localcluster.api_client import ApiClient
from localcluster.components import CONTAINERD_SOCKET, ComponentCommands
from localcluster.configuration import ClusterConfiguration, Graphics
from localcluster.errors import ClusterError
from localcluster.leftovers import Leftovers
from localcluster.locations import Cache, Checkout
from localcluster.node_plan import ComponentName
from localcluster.node_setup import MOUNT_POINTS
from localcluster.processes import Process, wait_until
from localcluster.readiness import Readiness
from localcluster.toolchain import Toolchain


@dataclass(frozen=True)
class NodeOptions:
    """What the user chooses of the node."""

    graphics: Graphics
    device_plugin_python: Path
    """An interpreter with grpcio and grpcio-tools."""


def up(checkout: Checkout, cache: Cache, tools: Toolchain, options: NodeOptions) -> None:
    """Returns with a ready cluster: the one that runs already, or a new one after what was left is cleaned."""
    _check_machine(options)
    with _only_one_at_a_time(checkout, cache):
        leftovers.sweep(cache, but=checkout.cluster_id)
        if _is_up(checkout):
            _check_devices(checkout, options.graphics)
            progress.say(f"the cluster of {checkout.root} is up already")
            return
        _clean_up_first(checkout, cache)
        try:
            _start(checkout, cache, tools, options)
        except BaseException as error:  # Ctrl-C too: half a cluster is of no use to anyone
            _clean_up_but_keep_logs(checkout, cache, error)
            raise


def down(checkout: Checkout, cache: Cache) -> Leftovers:
    with _only_one_at_a_time(checkout, cache), progress.step(f"ending the cluster of {checkout.root}"):
        first = node.first_process(checkout)
        if first and _started_mark(checkout).exists() and _end_containers(checkout, first):
            leftovers.clean(checkout)
            node_images.keep(checkout, cache)
        return leftovers.remove(checkout, cache)


def _end_containers(checkout: Checkout, first: Process) -> bool:
    """The kubelet first: it would start them again."""
    stopped = (node.stop_component(checkout, name) for name in (ComponentName.KUBELET, ComponentName.DEVICE_PLUGIN))
    return all(stopped) and node_images.remove_containers(first)


def _is_up(checkout: Checkout) -> bool:
    """Running and answering; one that was killed while it started is neither finished nor answering."""
    running = node.first_process(checkout) is not None and _started_mark(checkout).exists()
    return running and wait_until(ApiClient(checkout.kubeconfig).is_ready, 15, every=0.2)


def _check_devices(checkout: Checkout, graphics: Graphics) -> None:
    offered = len(json.loads((checkout.run / "devices.json").read_text()))
    if offered != graphics.count:
        raise ClusterError(
            f"the cluster of {checkout.root} is up already, with {offered} test GPUs instead of {graphics.count}",
            remedy="run `down` first",
        )


def _clean_up_first(checkout: Checkout, cache: Cache) -> None:
    known = records.load(cache, checkout.cluster_id) is not None
    if known or checkout.state.exists() or cgroups.remaining(checkout.cluster_id):
        with progress.step("cleaning up after a cluster that was killed"):
            leftovers.remove(checkout, cache)


def _clean_up_but_keep_logs(checkout: Checkout, cache: Cache, error: BaseException) -> None:
    progress.say("the cluster did not start: ending what was started")
    if isinstance(error, Exception):
        leftovers.clean(checkout)
    else:
        leftovers.remove(checkout, cache)


def _start(checkout: Checkout, cache: Cache, tools: Toolchain, options: NodeOptions) -> None:
    configured = ClusterConfiguration(checkout, cache, _reserve_link(checkout, cache), options.graphics)
    with progress.step(f"starting the cluster of {checkout.root}"):
        _write_files(configured, ComponentCommands(configured, tools, options.device_plugin_python))
        _link_tools(checkout, tools)
        cgroups.create(checkout.cluster_id)
        first = node.start(checkout)
        network.create(configured.link, first.pid)
        _load_sandbox_image(checkout, first)
    Readiness(configured, ApiClient(checkout.kubeconfig)).wait()
    _started_mark(checkout).touch()


def _reserve_link(checkout: Checkout, cache: Cache) -> network.Link:
    with locks.exclusive(cache.clusters / "networks.lock", "choosing a network"):
        others = [record for record in records.load_all(cache) if record.cluster_id != checkout.cluster_id]
        link = network.choose_link(checkout.cluster_id, [record.link.node_address for record in others])
        records.ClusterRecord(checkout, link).save(cache)
        return link


def _write_files(configured: ClusterConfiguration, commands: ComponentCommands) -> None:
    checkout = configured.checkout
    for folder in (checkout.logs, checkout.run / "stopped", checkout.volumes, configured.cache.registry):
        folder.mkdir(parents=True, exist_ok=True)
    for target in MOUNT_POINTS:
        (checkout.data / target.name).mkdir(parents=True)
    node_images.adopt(checkout, configured.cache)
    certificates.create(
        checkout.certificates,
        node_name=configured.node_name,
        server_addresses=("127.0.0.1", configurations.API_SERVICE_ADDRESS, configured.link.node_address),
    )
    configured.write()
    devices = {f"GPU-{checkout.cluster_id}-{index}": True for index in range(configured.graphics.count)}
    (checkout.run / "devices.json").write_text(json.dumps(devices))
    for device in devices:
        scripted_nvml.describe(checkout.run, device, **configured.graphics.nvml_values())
    commands.node_plan().save(node.plan_file(checkout))


def _link_tools(checkout: Checkout, tools: Toolchain) -> None:
    """For people whose machine has no kubectl or helm."""
    checkout.tools.mkdir(exist_ok=True)
    for tool in (tools.kubectl, tools.helm):
        (checkout.tools / tool.name).symlink_to(tool)


def _load_sandbox_image(checkout: Checkout, first: Process) -> None:
    archive = checkout.data / "busybox.tar"
    busybox_image.write_archive(archive, configurations.PAUSE_IMAGE)
    socket = Path(f"/proc/{first.pid}/root{CONTAINERD_SOCKET}")
    if not wait_until(socket.exists, 30):
        log = checkout.logs / "containerd.log"
        raise ClusterError("containerd does not start", log=log, log_tail=progress.tail(log))
    node_images.import_archive(first, archive)


def _check_machine(options: NodeOptions) -> None:
    if options.graphics.count and not _can_serve_devices(options.device_plugin_python):
        raise ClusterError(
            f"the test device plugin needs grpcio and grpcio-tools, which {options.device_plugin_python} has not",
            remedy="make the development virtualenv first, or name its interpreter with --python, or use --gpus 0",
        )


def _can_serve_devices(python: Path) -> bool:
    probe = [str(python), "-c", "import grpc, grpc_tools.protoc"]
    return python.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0


@contextmanager
def _only_one_at_a_time(checkout: Checkout, cache: Cache) -> Iterator[None]:
    with locks.exclusive(records.lock_file(cache, checkout.cluster_id), "starting or ending this cluster"):
        yield


def _started_mark(checkout: Checkout) -> Path:
    return checkout.run / "started"
