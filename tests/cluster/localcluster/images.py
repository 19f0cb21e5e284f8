"""Builds the project's images, keeps them in the registry, and brings them to the node."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from localcluster import base_image, locks, node_images, progress
from localcluster.buildah import Buildah, mounts_for_pip
from localcluster.configuration import REGISTRY_ADDRESS
from localcluster.locations import Cache, Checkout
from localcluster.processes import Process
from localcluster.registry import Registry

COMPRESSION = ("--format", "oci", "--compression-format", "zstd", "--compression-level", "1")
TAG_LENGTH = 16
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
        return self.image_id[:TAG_LENGTH]

    @property
    def reference(self) -> str:
        """As pods name it: the registry on their node's loopback address."""
        return f"{REGISTRY_ADDRESS}/{self.repository}:{self.tag}"


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
        name = _local_name(target, self.checkout.cluster_id)
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
            self._forget_gone_checkouts()
            self._buildah.prune()
        return BuiltImage(target, after.removeprefix("sha256:"))

    def _forget_gone_checkouts(self) -> None:
        """Images are named by the checkout that they are built from, and go when it has gone."""
        builders = self.cache.buildah / "checkouts"
        builders.mkdir(parents=True, exist_ok=True)
        (builders / self.checkout.cluster_id).write_text(str(self.checkout.root))
        for builder in builders.iterdir():
            if not Path(builder.read_text()).exists():
                self._buildah.remove(*(_local_name(target, builder.name) for target in Target))
                builder.unlink()

    def push(self, image: BuiltImage, destination: str) -> None:
        """To a registry of the user's own; one on this machine is spoken to without TLS, as docker does."""
        verify = f"--tls-verify={str(not _is_on_this_machine(destination)).lower()}"
        self._push(
            image, self._buildah.command("push", verify, *COMPRESSION, image.image_id, f"docker://{destination}")
        )

    def _store(self, images: Sequence[BuiltImage]) -> None:
        if not images:
            return
        with self._registry.served() as server:
            for image in images:
                destination = f"docker://{image.reference}"
                command = self._buildah.command("push", "--tls-verify=false", *COMPRESSION, image.image_id, destination)
                self._push(image, ["nsenter", f"--target={server.pid}", "--net", "--", *command])

    def _push(self, image: BuiltImage, command: Sequence[str | Path]) -> None:
        progress.run_logged(
            f"pushing the {image.target} image",
            command,
            log=self.cache.logs / f"push-{image.target}.log",
            environment=self._buildah.environment,
            remedy="look whether the disk is full and the registry lets you in (buildah login)",
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locks.exclusive(self.cache.root / "images.lock", "building images"):
            self._buildah.remove_torn_files()
            yield

    @property
    def _buildah(self) -> Buildah:
        return Buildah(self.cache)

    @property
    def _registry(self) -> Registry:
        return Registry(self.cache)


def _is_on_this_machine(reference: str) -> bool:
    host = reference.split("/")[0].rpartition(":")[0] or reference.split("/")[0]
    return host == "localhost" or host.startswith("127.") or host == "[::1]"


def _local_name(target: Target, cluster_id: str) -> str:
    return f"localhost/finetune/{target}:{cluster_id}"


def load_into_node(checkout: Checkout, cache: Cache, first: Process, images: Sequence[BuiltImage]) -> dict[str, str]:
    """Pulls what the node has not yet, and writes images.json; returns target and reference of each image."""
    present = node_images.present(first)
    references = {str(image.target): image.reference for image in images}
    for target, reference in references.items():
        if reference not in present:
            node_images.pull(first, reference, checkout.logs / f"pull-{target}.log")
    node_images.remove(first, _replaced(present, Registry(cache)))
    known = json.loads(checkout.images_file.read_text()) if checkout.images_file.exists() else {}
    checkout.images_file.write_text(json.dumps({**known, **references}, indent=2) + "\n")
    return references


def _replaced(present: set[str], registry: Registry) -> set[str]:
    """Images of ours that the registry has dropped since, with the names that containerd gave them by their content."""
    ours = {name for name in present if name.startswith(f"{REGISTRY_ADDRESS}/")}
    dropped = {name for name in ours if not registry.holds(*_repository_and_tag(name))}
    tags = {_repository_and_tag(name)[1] for name in dropped}
    return dropped | {name for name in present if name.removeprefix("sha256:")[:TAG_LENGTH] in tags}


def _repository_and_tag(reference: str) -> tuple[str, str]:
    repository, _, tag = reference.removeprefix(f"{REGISTRY_ADDRESS}/").partition(":")
    return repository, tag
