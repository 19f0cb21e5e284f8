"""The cluster of this checkout, and fresh namespaces in it."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import served_schemas
from base_models import tiny_model_folder
from installation import install, leave_to_the_release
from localcluster import Cluster, ClusterError, lifecycle, load, toolchain
from localcluster.configuration import Graphics
from localcluster.lifecycle import NodeOptions
from localcluster.locations import Cache, Checkout
from localcluster.processes import wait_until
from manifests import examples, fine_tune_job
from workbench import Workbench

SCHEMA_SECONDS = 60


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The running cluster; one that is started here is ended here."""
    started = _start_unless_running()
    yield load()
    if started:
        lifecycle.down(Checkout.of_this_package(), Cache.of_user())


def _start_unless_running() -> bool:
    try:
        load()
    except ClusterError:
        checkout, cache = Checkout.of_this_package(), Cache.of_user()
        options = NodeOptions(Graphics(), Path(sys.executable))
        lifecycle.up(checkout, cache, toolchain.find(checkout, cache), options)
        return True
    return False


@pytest.fixture(scope="session")
def custom_resources(cluster: Cluster) -> Cluster:
    """The cluster with the CustomResourceDefinitions of this checkout, once it serves these and no earlier ones."""
    definitions = cluster.checkout.root / "crds"
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(definitions), capture_output=True)
    leave_to_the_release(cluster, definitions)
    expected = served_schemas.described(served_schemas.committed(definitions))
    published = wait_until(
        lambda: served_schemas.described(served_schemas.published(cluster)) == expected, SCHEMA_SECONDS, every=0.2
    )
    assert published, f"the API server does not publish the schemas of {definitions} after {SCHEMA_SECONDS} s"
    return cluster


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh restricted namespace with bound claims (models, datasets, artifacts), removed afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.create_namespace(name)
    yield name
    cluster.delete_namespace(name)


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> Cluster:
    """The cluster with the operator in it, installed as users install it."""
    install(cluster)
    return cluster


@pytest.fixture(scope="module")
def shared_workbench(operator: Cluster) -> Iterator[Workbench]:
    """One fresh namespace for all tests of a module, with the tiny model on its models volume."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    operator.create_namespace(name)
    bench = Workbench(operator, name)
    try:
        bench.copy_model(tiny_model_folder(operator), "tiny")
        yield bench
    finally:
        operator.delete_namespace(name)


@pytest.fixture(scope="module")
def trained(shared_workbench: Workbench) -> Workbench:
    """With a FineTuneJob `trained` that has succeeded."""
    shared_workbench.write("datasets", "trained.jsonl", examples(12))
    shared_workbench.apply(fine_tune_job("trained", dataset="trained.jsonl"))
    shared_workbench.wait_for_phase("finetunejob", "trained", "Succeeded")
    return shared_workbench
