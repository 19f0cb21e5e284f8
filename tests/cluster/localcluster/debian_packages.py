"""The Debian packages that the local cluster stands on, and their installation without starting a service."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from localcluster import progress
from localcluster.errors import ClusterError
from localcluster.locations import Cache

PACKAGES = (
    "buildah",
    "busybox-static",
    "ca-certificates",
    "chromium",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "debootstrap",
    "docker-registry",
    "etcd-server",
    "gcc",
    "iproute2",
    "iptables",
    "libc6-dev",
    "openssl",
    "procps",
    "python3-venv",
    "runc",
    "socat",
    "util-linux",
)
WAIT_FOR_OTHERS = ("-o", "DPkg::Lock::Timeout=300")
POLICY = Path("/usr/sbin/policy-rc.d")


def missing_packages() -> list[str]:
    query = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *PACKAGES],
        capture_output=True,
        text=True,
        check=False,  # it fails when one of them is unknown, and that one is simply missing
    )
    installed = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in PACKAGES if package not in installed]


def install(packages: list[str], cache: Cache) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(
            f"these Debian packages are missing: {' '.join(packages)}",
            remedy="run this as root on Debian 12, or install them yourself",
        )
    remedy = "look whether Debian's package servers can be reached, then run this again"
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    log = cache.logs / "apt-update.log"
    progress.run_logged("apt-get update", ["apt-get", "update"], log=log, environment=environment, remedy=remedy)
    with services_kept_down():
        progress.run_logged(
            f"apt-get install ({len(packages)} packages)",
            ["apt-get", "install", "--yes", "--no-install-recommends", *WAIT_FOR_OTHERS, *packages],
            log=cache.logs / "apt-install.log",
            environment=environment,
            remedy=remedy,
        )


@contextlib.contextmanager
def services_kept_down() -> Iterator[None]:
    """containerd, etcd and docker-registry bring services that apt would start; the cluster starts its own."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
