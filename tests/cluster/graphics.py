"""What tests do to the test GPUs, until a block ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from localcluster import Cluster
from localcluster.configuration import Graphics

TEST_GPUS = Graphics().count


@contextmanager
def all_gpus_broken(cluster: Cluster) -> Iterator[None]:
    """A pod that has a GPU keeps it."""
    for index in range(TEST_GPUS):
        cluster.set_device_health(index, healthy=False)
    try:
        yield
    finally:
        for index in range(TEST_GPUS):
            cluster.set_device_health(index, healthy=True)


@contextmanager
def all_gpus_like(cluster: Cluster, **values: float) -> Iterator[None]:
    """As NVML tells them to pods that get one within the block; the keys are told in `tests/nvml/script.h`."""
    for index in range(TEST_GPUS):
        cluster.describe_device(index, **values)
    try:
        yield
    finally:
        for index in range(TEST_GPUS):
            cluster.describe_device(index)


@contextmanager
def gpu_memory_of_node(cluster: Cluster, mebibytes: int) -> Iterator[None]:
    """As GPU Feature Discovery would label it."""
    label_node(cluster, mebibytes)
    try:
        yield
    finally:
        label_node(cluster, Graphics().memory_mib)


def label_node(cluster: Cluster, mebibytes: int) -> None:
    label = f"nvidia.com/gpu.memory={mebibytes}"
    cluster.kubectl("label", "node", cluster.checkout.cluster_id, label, "--overwrite", capture_output=True)
