"""The images' base where no container registry is in reach: Debian 12 with Python 3.11, by debootstrap."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from localcluster import progress
from localcluster.buildah import Buildah
from localcluster.locations import Cache

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
MIRROR = "http://deb.debian.org/debian"
DISPENSABLE = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man", "usr/share/locale")


def ensure(cache: Cache, buildah: Buildah) -> str:
    """The name of the base image, built unless it is there."""
    key = hashlib.sha256(" ".join((SUITE, *PACKAGES, *DISPENSABLE)).encode()).hexdigest()[:12]
    name = f"localhost/finetune-base:{SUITE}-{key}"
    if buildah.image_id(name) is None:
        _build(name, cache, buildah)
    return name


def _build(name: str, cache: Cache, buildah: Buildah) -> None:
    root = cache.base_images / "root"
    log = cache.logs / "base-image.log"
    if root.exists():
        shutil.rmtree(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    mirror = os.environ.get("DEBIAN_MIRROR", MIRROR)
    progress.run_logged(
        f"base image: debootstrap {SUITE} with {', '.join(PACKAGES)}",
        ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root, mirror],
        log=log,
        remedy=f"look whether {mirror} can be reached, or name another by DEBIAN_MIRROR; run it again",
    )
    _thin_out(root)
    _commit(name, root, buildah, log)
    shutil.rmtree(root)


def _thin_out(root: Path) -> None:
    for folder in DISPENSABLE:
        shutil.rmtree(root / folder)
        (root / folder).mkdir()


def _commit(name: str, root: Path, buildah: Buildah, log: Path) -> None:
    with buildah.container("scratch") as container:
        buildah.run("base image: copying", "copy", "--quiet", container, root, "/", log=log)
        buildah.output("config", "--cmd", "python3", container)
        buildah.run("base image: committing", "commit", "--quiet", container, name, log=log)
