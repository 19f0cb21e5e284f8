"""The images' registry: its folder is in the cache, and each cluster serves that folder to its node."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcluster import progress
from localcluster.configuration import registry_configuration
from localcluster.errors import ClusterError
from localcluster.locations import Cache
from localcluster.processes import wait_until

KEPT_TAGS = 4
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
    def served(self) -> Iterator[str]:
        """Serves the folder for the time of a push, so that images can be pushed before any cluster runs."""
        address = f"127.0.0.1:{_free_port()}"
        configuration = self.cache.registry / "push.yaml"
        configuration.parent.mkdir(parents=True, exist_ok=True)
        configuration.write_text(registry_configuration(self.cache.registry, address))
        log = self.cache.logs / "registry.log"
        with log.open("wb") as output:
            command = ["docker-registry", "serve", str(configuration)]
            server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        with progress.ended_with_us(server):
            if not wait_until(lambda: _accepts(address) or server.poll() is not None, 20) or server.poll() is not None:
                raise ClusterError("the image registry does not start", log=log, log_tail=progress.tail(log))
            yield address

    def prune(self) -> None:
        """Removes tags that newer ones have replaced, and the layers that only those used."""
        stale = [tag for repository in self._repositories() for tag in self._stale_tags(repository)]
        if not stale:
            return
        for tag in stale:
            shutil.rmtree(tag)
        configuration = self.cache.registry / "prune.yaml"
        configuration.write_text(registry_configuration(self.cache.registry, "127.0.0.1:0"))
        progress.run_logged(
            "removing images that newer ones have replaced",
            ["docker-registry", "garbage-collect", "--delete-untagged", configuration],
            log=self.cache.logs / "registry-prune.log",
        )

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
