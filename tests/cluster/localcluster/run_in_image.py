"""Runs a command in an image's root filesystem, so that tests use the very libraries that pods use."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from localcluster import progress
from localcluster.buildah import Buildah

PASSED_ON = ("OMP_NUM_THREADS", "CI", "TERM")


@dataclass(frozen=True)
class Invocation:
    image_id: str
    command: Sequence[str]
    volumes: Sequence[str] = ()
    """As `HOST:INSIDE` or `HOST:INSIDE:ro`."""
    small_volumes: Sequence[str] = ()
    """As `INSIDE:SIZE`, such as `/small:8m`: empty, in memory, and quickly full."""
    environment: Sequence[str] = ()
    """As `NAME=VALUE`."""
    user: str = "0:0"
    working_folder: str = "/tmp"


def run(buildah: Buildah, invocation: Invocation) -> int:
    """The command's exit code; the working container is removed, also when the run is interrupted."""
    with buildah.container(invocation.image_id) as container:
        command = buildah.command("run", *_options(invocation), container, "--", *invocation.command)
        process = subprocess.Popen(command, env={**os.environ, **buildah.environment}, start_new_session=True)
        with progress.ended_with_us(process):
            code = process.wait()
    return code if code >= 0 else 128 + signal.Signals(-code)


def _options(invocation: Invocation) -> list[str]:
    passed = [f"{name}={os.environ[name]}" for name in PASSED_ON if name in os.environ]
    options = ["--isolation", "chroot", "--network", "host", "--user", invocation.user]
    options += ["--workingdir", invocation.working_folder]
    for variable in [*passed, *invocation.environment]:
        options += ["--env", variable]
    for volume in invocation.volumes:
        options += ["--volume", volume]
    for small in invocation.small_volumes:
        inside, _, size = small.rpartition(":")
        options += ["--mount", f"type=tmpfs,destination={inside},tmpfs-size={size}"]
    return options
