"""Builds the project's images, keeps them in the registry, and brings them to the node."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum

from localcluster import base_image, locks, node, progress
from localcluster.buildah import Buildah, mounts_for_pip
from localcluster.configuration import REGISTRY_ADDRESS
from localcluster.locations import Cache, Checkout
from localcluster.processes import Process
from localcluster.registry import Registry

CTR = ("ctr", "--namespace", "k8s.io")
COMPRESSION = ("--format", "oci", "--compression-format", "zstd", "--compression-level", "1")
NETWORK_REMEDY = "look whether the package index can be reached and the disk has 20 GB free; run it again"


class Target(StrEnum):
    """The targets of the Dockerfile, one image each."""

    OPERATOR = "operator"
    TRAINER = "trainer"


@dataclass(frozen=True)
class BuiltImage:
    """An image in buildah's storage, named by its content."""

    target: Target
    image_id: str

    @property
    def repository(self) -> str:
        return f"finetune/{self.target}"

    @property
    def tag(self) -> str:
        return self.image_id[:16]


@dataclass(frozen=True)
class ImageBuilder:
    checkout: Checkout
    cache: Cache

    def build_and_store(self, targets: Sequence[Target]) -> list[BuiltImage]:
        """Builds what has changed and puts it into the registry's folder; needs no cluster."""
        with self._locked():
            images = [self._build(target) for target in targets]
            self._store([image for image in images if not self._registry.holds(image.repository, image.tag)])
            for image in images:
                self._registry.touch(image.repository, image.tag)
            self._registry.prune()
        return images

    def build_one(self, target: Target) -> BuiltImage:
        """Builds what has changed, and leaves it in buildah's storage."""
        with self._locked():
            return self._build(target)

    def _build(self, target: Target) -> BuiltImage:
        base = base_image.ensure(self.cache, self._buildah)
        name = f"localhost/finetune/{target}:{self.checkout.cluster_id}"
        before = self._buildah.image_id(name)
        self._buildah.run(
            f"building the {target} image",
            *("bud", "--isolation", "chroot", "--layers", *mounts_for_pip()),
            *("--build-arg", f"BASE_IMAGE={base}", "--target", target, "--tag", name),
            *("--file", self.checkout.root / "Dockerfile", self.checkout.root),
            log=self.cache.logs / f"image-{target}.log",
            remedy=NETWORK_REMEDY,
        )
        after = self._buildah.image_id(name)
        assert after is not None, f"buildah built {name} but does not list it"
        if before != after:
            self._buildah.prune()
        return BuiltImage(target, after.removeprefix("sha256:"))

    def push(self, image: BuiltImage, destination: str, *, verify_tls: bool = True) -> None:
        self._buildah.run(
            f"pushing the {image.target} image to {destination}",
            *("push", f"--tls-verify={str(verify_tls).lower()}", *COMPRESSION),
            *(image.image_id, f"docker://{destination}"),
            log=self.cache.logs / f"push-{image.target}.log",
            remedy="look whether the disk is full",
        )

    def _store(self, images: Sequence[BuiltImage]) -> None:
        if not images:
            return
        with self._registry.served() as address:
            for image in images:
                self.push(image, f"{address}/{image.repository}:{image.tag}", verify_tls=False)

    def _locked(self) -> AbstractContextManager[None]:
        return locks.exclusive(self.cache.root / "images.lock", "building images")

    @property
    def _buildah(self) -> Buildah:
        return Buildah(self.cache)

    @property
    def _registry(self) -> Registry:
        return Registry(self.cache)


def load_into_node(checkout: Checkout, first: Process, images: Sequence[BuiltImage]) -> dict[str, str]:
    """Pulls what the node has not yet, and writes images.json; returns target and reference of each image."""
    present = _images_in_node(first)
    references = {str(image.target): f"{REGISTRY_ADDRESS}/{image.repository}:{image.tag}" for image in images}
    for target, reference in references.items():
        if reference not in present:
            progress.run_logged(
                f"pulling the {target} image into the node",
                node.enter(first, [*CTR, "images", "pull", "--plain-http", reference]),
                log=checkout.logs / f"pull-{target}.log",
                remedy="read registry.log and containerd.log beside it",
            )
    known = json.loads(checkout.images_file.read_text()) if checkout.images_file.exists() else {}
    checkout.images_file.write_text(json.dumps({**known, **references}, indent=2) + "\n")
    return references


def _images_in_node(first: Process) -> set[str]:
    listing = subprocess.run(
        node.enter(first, [*CTR, "images", "list", "--quiet"]), capture_output=True, text=True, check=True
    )
    return set(listing.stdout.split())
