"""The cluster, the operator and a namespace to measure in."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from base_models import tiny_model_folder
from installation import install
from localcluster import load
from manifests import examples
from workbench import Workbench


@contextmanager
def prepared_namespace() -> Iterator[Workbench]:
    """A fresh namespace with the tiny model and a dataset; the operator is installed as the chart installs it."""
    cluster = load()
    install(cluster)
    name = f"bench-{uuid.uuid4().hex[:8]}"
    cluster.create_namespace(name)
    bench = Workbench(cluster, name)
    bench.copy_model(tiny_model_folder(cluster), "tiny")
    bench.write("datasets", "train.jsonl", examples(12))
    try:
        yield bench
    finally:
        cluster.delete_namespace(name)
