"""buildah with a storage of its own in the cache, so that nothing of the user's images is touched."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcluster import progress
from localcluster.errors import ClusterError
from localcluster.locations import Cache

RUN_FOLDER = Path("/run/finetune-operator/buildah")  # mount counts, which must not survive a reboot
CERTIFICATES = Path("/etc/ssl/certs")
PIP_CONFIGURATION = Path("/etc/pip.conf")


@dataclass(frozen=True)
class Buildah:
    cache: Cache

    def command(self, *arguments: str | Path) -> list[str | Path]:
        storage = self.cache.buildah / "storage"
        return ["buildah", "--root", storage, "--runroot", RUN_FOLDER, "--storage-driver", "overlay", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """buildah keeps a Dockerfile's cache mounts (pip's downloads) in the temporary folder."""
        temporary = self.cache.buildah / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return {"TMPDIR": str(temporary)}

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
        command = self.command("rmi", "--prune")
        subprocess.run(command, capture_output=True, env={**os.environ, **self.environment}, check=False)

    @contextlib.contextmanager
    def container(self, image: str) -> Iterator[str]:
        """A working container, removed afterwards."""
        name = self.output("from", "--pull-never", image)
        try:
            yield name
        finally:
            self.output("rm", name)


def mounts_for_pip() -> list[str]:
    """A build step has the machine's network, but not its certificates and package index."""
    options = ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
    if PIP_CONFIGURATION.exists():
        options += ["--volume", f"{PIP_CONFIGURATION}:{PIP_CONFIGURATION}:ro"]
    return options
