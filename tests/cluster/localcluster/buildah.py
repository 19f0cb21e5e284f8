"""buildah with a storage of its own in the cache, so that nothing of the user's images is touched."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcluster import progress
from localcluster.errors import ClusterError
from localcluster.locations import Cache
from localcluster.processes import Process

CONTAINER_PREFIX = "localcluster"
RUN_FOLDER = Path("/run/finetune-operator")  # mount counts, which must not survive a reboot
CERTIFICATES = Path("/etc/ssl/certs")
PIP_CONFIGURATION = Path("/etc/pip.conf")


@dataclass(frozen=True)
class Buildah:
    cache: Cache

    def command(self, *arguments: str | Path) -> list[str | Path]:
        storage = self.cache.buildah / "storage"
        run = RUN_FOLDER / hashlib.sha256(str(storage).encode()).hexdigest()[:8]
        return ["buildah", "--root", storage, "--runroot", run, "--storage-driver", "overlay", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """buildah keeps a Dockerfile's cache mounts (pip's downloads) in the temporary folder."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        return {"TMPDIR": str(self._temporary)}

    @property
    def _temporary(self) -> Path:
        return self.cache.buildah / "tmp"

    def remove_torn_files(self) -> None:
        """Layers that a killed build or push was writing; only for the one that builds and pushes at the time."""
        for path in self._temporary.glob("*"):
            if path.is_file():
                path.unlink()

    def run(self, title: str, *arguments: str | Path, log: Path, remedy: str = "") -> None:
        progress.run_logged(title, self.command(*arguments), log=log, environment=self.environment, remedy=remedy)

    def output(self, *arguments: str | Path) -> str:
        command = self.command(*arguments)
        environment = {**os.environ, **self.environment}
        result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if result.returncode != 0:
            raise ClusterError(f"buildah {arguments[0]} failed", log_tail=result.stderr)
        return result.stdout.strip()

    def image_id(self, name: str) -> str | None:
        """The full id of an image that this storage holds."""
        listing = self.output("images", "--no-trunc", "--format", "{{.Name}}:{{.Tag}} {{.ID}}")
        images = dict(line.split() for line in listing.splitlines())
        return images.get(name)

    def prune(self) -> None:
        """Removes images that lost their name to a newer one; one that a running container uses stays until then."""
        for container in self.output("containers", "--format", "{{.ContainerName}}").split():
            if _is_abandoned(container):
                self._try("rm", container)
        self._try("rmi", "--prune")

    def remove(self, *names: str) -> None:
        """Removes what is there of these images."""
        for name in names:
            self._try("rmi", name)

    def _try(self, *arguments: str) -> None:
        environment = {**os.environ, **self.environment}
        subprocess.run(self.command(*arguments), capture_output=True, env=environment, check=False)

    @contextlib.contextmanager
    def container(self, image: str) -> Iterator[str]:
        """A working container, removed afterwards."""
        owner = Process.of_pid(os.getpid())
        unique = f"{CONTAINER_PREFIX}-{owner.pid}-{owner.start_ticks}-{time.monotonic_ns()}"
        name = self.output("from", "--pull-never", "--name", unique, image)
        try:
            yield name
        finally:
            self.output("rm", name)


def _is_abandoned(container: str) -> bool:
    """One of ours, by its name, whose process was killed before it could remove it."""
    prefix, _, owner = container.partition("-")
    if prefix != CONTAINER_PREFIX:
        return False
    pid, start_ticks, _ = owner.split("-")
    return not Process(int(pid), int(start_ticks)).is_running()


def mounts_for_pip() -> list[str]:
    """A build step has the machine's network, but not its certificates and package index."""
    options = ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
    if PIP_CONFIGURATION.exists():
        options += ["--volume", f"{PIP_CONFIGURATION}:{PIP_CONFIGURATION}:ro"]
    return options
