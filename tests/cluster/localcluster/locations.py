"""Where things lie: the machine's cache, which outlives checkouts, and one checkout's own folder."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cache:
    """Binaries, image layers and the register of clusters: shared by all checkouts of a machine."""

    root: Path

    @classmethod
    def of_user(cls) -> Cache:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return cls(Path(base) / "finetune-operator")

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def binaries(self) -> Path:
        return self.root / "binaries"

    @property
    def clusters(self) -> Path:
        return self.root / "clusters"

    @property
    def buildah(self) -> Path:
        return self.root / "buildah"

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    @property
    def node_images(self) -> Path:
        """containerd's store of a cluster that has ended, for the next one."""
        return self.root / "node-images"

    @property
    def base_images(self) -> Path:
        return self.root / "base-images"


@dataclass(frozen=True)
class Checkout:
    """One working copy of the repository and the folder in which its cluster keeps everything."""

    root: Path

    @classmethod
    def of_this_package(cls) -> Checkout:
        return cls(Path(__file__).resolve().parents[3])

    @property
    def cluster_id(self) -> str:
        """The same for the same folder, so that the next run finds what a killed one left behind."""
        return "finetune-" + hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def state(self) -> Path:
        return self.root / ".cluster"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def configuration(self) -> Path:
        return self.state / "config"

    @property
    def certificates(self) -> Path:
        return self.state / "certificates"

    @property
    def data(self) -> Path:
        return self.state / "data"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def tools(self) -> Path:
        """Links to kubectl and helm."""
        return self.state / "bin"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def images_file(self) -> Path:
        return self.state / "images.json"

    @property
    def kubernetes_modules(self) -> Path:
        return self.root / "tests" / "cluster" / "kubernetes"
