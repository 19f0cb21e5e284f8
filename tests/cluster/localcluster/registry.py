"""The images' registry: its folder is in the cache, and each cluster serves that folder to its node."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcluster import progress
from localcluster.configuration import REGISTRY_ADDRESS, registry_configuration
from localcluster.errors import ClusterError
from localcluster.locations import Cache
from localcluster.processes import Process, wait_until

PROBE = f"import socket; socket.create_connection({tuple(REGISTRY_ADDRESS.split(':'))!r}, 1)"
KEPT_TAGS = 8
"""Of each repository: what several checkouts and the last few changes need."""


@dataclass(frozen=True)
class Registry:
    cache: Cache

    def holds(self, repository: str, tag: str) -> bool:
        return (self._tags(repository) / tag / "current" / "link").exists()

    def touch(self, repository: str, tag: str) -> None:
        """Marks a tag as used just now."""
        (self._tags(repository) / tag).touch()

    @contextlib.contextmanager
    def served(self) -> Iterator[Process]:
        """Serves the folder for the time of a push, so that images can be pushed before any cluster runs.

        In a network namespace of its own, for the sake of an address that is always free and always the same:
        buildah remembers by the address which layers a registry has, and compresses no layer twice.
        """
        log = self.cache.logs / "registry.log"
        serve = f"ip link set lo up && exec docker-registry serve '{self._configuration()}'"
        with log.open("wb") as output:
            command = ["unshare", "--net", "sh", "-c", serve]
            server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        with progress.ended_with_us(server):
            if not wait_until(lambda: _accepts(server.pid) or server.poll() is not None, 20) or server.poll():
                raise ClusterError("the image registry does not start", log=log, log_tail=progress.tail(log))
            yield Process.of_pid(server.pid)

    def prune(self) -> None:
        """Removes tags that newer ones have replaced, and the layers that only those used."""
        stale = [tag for repository in self._repositories() for tag in self._stale_tags(repository)]
        if not stale:
            return
        for tag in stale:
            shutil.rmtree(tag)
        progress.run_logged(
            "removing images that newer ones have replaced",
            ["docker-registry", "garbage-collect", "--delete-untagged", self._configuration()],
            log=self.cache.logs / "registry-prune.log",
        )

    def _configuration(self) -> Path:
        file = self.cache.registry / "registry.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(registry_configuration(self.cache.registry, REGISTRY_ADDRESS))
        return file

    def _stale_tags(self, repository: str) -> list[Path]:
        tags = sorted(self._tags(repository).iterdir(), key=lambda tag: tag.stat().st_mtime, reverse=True)
        return tags[KEPT_TAGS:]

    def _repositories(self) -> list[str]:
        top = self._repositories_folder
        return [str(folder.parent.parent.relative_to(top)) for folder in top.glob("**/_manifests/tags")]

    def _tags(self, repository: str) -> Path:
        return self._repositories_folder / repository / "_manifests" / "tags"

    @property
    def _repositories_folder(self) -> Path:
        return self.cache.registry / "docker" / "registry" / "v2" / "repositories"


def _accepts(server: int) -> bool:
    probe = ["nsenter", f"--target={server}", "--net", sys.executable, "-c", PROBE]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0
