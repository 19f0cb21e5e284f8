"""The machine's register of clusters: what each holds, so that any later run can clean up after a killed one."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from localcluster.locations import Cache, Checkout
from localcluster.network import Link


@dataclass(frozen=True)
class ClusterRecord:
    checkout: Checkout
    link: Link

    @property
    def cluster_id(self) -> str:
        return self.checkout.cluster_id

    def save(self, cache: Cache) -> None:
        cache.clusters.mkdir(parents=True, exist_ok=True)
        content = {"checkout": str(self.checkout.root), "link": dataclasses.asdict(self.link)}
        written = _file(cache, self.cluster_id).with_suffix(".new")
        written.write_text(json.dumps(content, indent=2))
        written.rename(_file(cache, self.cluster_id))


def load(cache: Cache, cluster_id: str) -> ClusterRecord | None:
    try:
        content = json.loads(_file(cache, cluster_id).read_text())
    except FileNotFoundError:
        return None
    return ClusterRecord(Checkout(Path(content["checkout"])), Link(**content["link"]))


def load_all(cache: Cache) -> list[ClusterRecord]:
    ids = [file.stem for file in cache.clusters.glob("*.json")]
    return [record for cluster_id in ids if (record := load(cache, cluster_id))]


def forget(cache: Cache, cluster_id: str) -> None:
    _file(cache, cluster_id).unlink(missing_ok=True)


def lock_file(cache: Cache, cluster_id: str) -> Path:
    return cache.clusters / f"{cluster_id}.lock"


def _file(cache: Cache, cluster_id: str) -> Path:
    return cache.clusters / f"{cluster_id}.json"
