"""A test device plugin: offers `nvidia.com/gpu` to a real kubelet by its own gRPC protocol, without any GPU.

The kubelet empties its plugin folder when it starts, so the plugin watches for that and registers again.
Runs in the node, with an interpreter that has grpcio and grpcio-tools.
"""

from __future__ import annotations

import argparse
import importlib
import json
import queue
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from types import ModuleType
from typing import Any

from localcluster import scripted_nvml

PLUGINS = Path("/var/lib/kubelet/device-plugins")
KUBELET_SOCKET = PLUGINS / "kubelet.sock"
OWN_SOCKET = PLUGINS / "nvidia-test.sock"
RESOURCE = "nvidia.com/gpu"
COMPUTE_ON_CPU = {"FINETUNE_COMPUTE": "cpu"}
"""Only a container that was given test devices has this: with it, a pod that asked for GPUs computes on the CPU."""
POLL_SECONDS = 0.1


def compile_protocol(protocol: Path, folder: Path) -> tuple[ModuleType, ModuleType]:
    """Messages and services of the kubelet's device plugin protocol, from the kubelet's own definition."""
    from grpc_tools import protoc  # type: ignore[import-untyped, unused-ignore]

    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(protocol, folder / "deviceplugin.proto")
    arguments = ["protoc", f"-I{folder}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main([*arguments, str(folder / "deviceplugin.proto")]) != 0:
        raise SystemExit(f"protoc does not compile {protocol}")
    sys.path.insert(0, str(folder))
    return importlib.import_module("deviceplugin_pb2"), importlib.import_module("deviceplugin_pb2_grpc")


class DevicePlugin:
    """The four calls of the kubelet, answered for the devices that a JSON file lists."""

    def __init__(self, messages: ModuleType, run: Path, nvml: Path) -> None:
        self.messages: Any = messages
        self.run = run
        self.nvml = nvml
        self.watchers: list[queue.SimpleQueue[dict[str, bool]]] = []
        self.devices = self.read_devices()

    def read_devices(self) -> dict[str, bool]:
        """Device id: whether it is healthy."""
        devices: dict[str, bool] = json.loads((self.run / "devices.json").read_text())
        return devices

    def tell_changes(self) -> None:
        devices = self.read_devices()
        if devices != self.devices:
            self.devices = devices
            for watcher in self.watchers:
                watcher.put(devices)

    def GetDevicePluginOptions(self, request: object, context: object) -> object:
        return self.messages.DevicePluginOptions()

    def GetPreferredAllocation(self, request: object, context: object) -> object:
        return self.messages.PreferredAllocationResponse()

    def PreStartContainer(self, request: object, context: object) -> object:
        return self.messages.PreStartContainerResponse()

    def ListAndWatch(self, request: object, context: Any) -> Iterator[object]:
        changes: queue.SimpleQueue[dict[str, bool]] = queue.SimpleQueue()
        self.watchers.append(changes)
        context.add_callback(lambda: self.watchers.remove(changes))
        yield self._list(self.devices)
        while context.is_active():
            try:
                yield self._list(changes.get(timeout=1))
            except queue.Empty:
                continue

    def Allocate(self, request: Any, context: object) -> object:
        answers = [self._allocation(list(one.devices_ids)) for one in request.container_requests]
        return self.messages.AllocateResponse(container_responses=answers)

    def _list(self, devices: dict[str, bool]) -> object:
        listed = [
            self.messages.Device(ID=name, health="Healthy" if healthy else "Unhealthy")
            for name, healthy in devices.items()
        ]
        return self.messages.ListAndWatchResponse(devices=listed)

    def _allocation(self, device_ids: list[str]) -> object:
        variables = {"NVIDIA_VISIBLE_DEVICES": ",".join(device_ids), **COMPUTE_ON_CPU}
        mounts = []
        if self.nvml.exists():  # make has it built for tests; the demo needs none
            variables[scripted_nvml.SCRIPT_VARIABLE] = str(scripted_nvml.SCRIPT_IN_CONTAINER)
            mounts = [
                self._mount(self.nvml, scripted_nvml.IN_CONTAINER),
                self._mount(scripted_nvml.script_of(self.run, device_ids), scripted_nvml.SCRIPT_IN_CONTAINER),
            ]
        print("allocated", device_ids, flush=True)
        return self.messages.ContainerAllocateResponse(envs=variables, mounts=mounts)

    def _mount(self, source: Path, target: Path) -> object:
        return self.messages.Mount(host_path=str(source), container_path=str(target), read_only=True)


def serve_until_socket_is_gone(plugin: DevicePlugin, messages: Any, services: Any) -> None:
    import grpc  # type: ignore[import-untyped, unused-ignore]

    OWN_SOCKET.unlink(missing_ok=True)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    services.add_DevicePluginServicer_to_server(plugin, server)
    server.add_insecure_port(f"unix://{OWN_SOCKET}")
    server.start()
    try:
        with grpc.insecure_channel(f"unix://{KUBELET_SOCKET}") as channel:
            request = messages.RegisterRequest(version="v1beta1", endpoint=OWN_SOCKET.name, resource_name=RESOURCE)
            services.RegistrationStub(channel).Register(request, timeout=10, wait_for_ready=True)
        print("registered", sorted(plugin.devices), flush=True)
        kubelet = KUBELET_SOCKET.stat().st_ino
        while OWN_SOCKET.exists() and _inode(KUBELET_SOCKET) in (kubelet, None):
            plugin.tell_changes()
            time.sleep(POLL_SECONDS)
    finally:
        server.stop(grace=0).wait()


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--nvml", type=Path, required=True, help="libnvidia-ml.so.1 for the containers, once it exists")
    options = parser.parse_args()
    messages, services = compile_protocol(options.protocol, options.run / "deviceplugin")
    plugin = DevicePlugin(messages, options.run, options.nvml)
    while True:
        while not KUBELET_SOCKET.exists():
            time.sleep(POLL_SECONDS)
        serve_until_socket_is_gone(plugin, messages, services)


if __name__ == "__main__":
    main()
