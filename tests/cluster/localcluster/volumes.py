"""Namespaces under the restricted pod standard, with claims bound to folders of this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from localcluster.api_client import ApiClient
from localcluster.errors import ClusterError
from localcluster.locations import Checkout
from localcluster.processes import wait_until

CLAIMS = ("models", "datasets", "artifacts")
POD_USER = 65532
CAPACITY = "100Gi"
ACCESS_MODES = ["ReadWriteMany"]
TIMEOUT_SECONDS = 60
EMPTYING_SECONDS = 240
"""A namespace is gone when the kubelet has ended the last of its pods, of which a test may leave a hundred."""


def create_namespace(api: ApiClient, checkout: Checkout, name: str) -> dict[str, Path]:
    """Safe to repeat; waits until the claims are bound and pods can be made."""
    api.create("/api/v1/namespaces", _namespace(name))
    for claim in CLAIMS:
        _create_folder(folder(checkout, name, claim))
        _delete_released_volume(api, name, claim)
        api.create("/api/v1/persistentvolumes", _volume(name, claim, folder(checkout, name, claim)))
        api.create(f"/api/v1/namespaces/{name}/persistentvolumeclaims", _claim(name, claim))
    if not wait_until(lambda: _is_usable(api, name), TIMEOUT_SECONDS, every=0.1):
        log = checkout.logs / "kube-controller-manager.log"
        raise ClusterError(f"the claims of namespace {name} are not bound", log=log)
    return {claim: folder(checkout, name, claim) for claim in CLAIMS}


def delete_namespace(api: ApiClient, checkout: Checkout, name: str) -> None:
    api.call("DELETE", f"/api/v1/namespaces/{name}")
    if not wait_until(lambda: api.get(f"/api/v1/namespaces/{name}").status == 404, EMPTYING_SECONDS, every=0.2):
        raise ClusterError(f"namespace {name} does not go away", remedy="look for finalizers in it")
    for claim in CLAIMS:
        api.call("DELETE", f"/api/v1/persistentvolumes/{_volume_name(name, claim)}")
    shutil.rmtree(checkout.volumes / name, ignore_errors=True)


def folder(checkout: Checkout, namespace: str, claim: str) -> Path:
    return checkout.volumes / namespace / claim


def folders(checkout: Checkout) -> dict[str, dict[str, str]]:
    namespaces = sorted(path.name for path in checkout.volumes.iterdir())
    return {name: {claim: str(folder(checkout, name, claim)) for claim in CLAIMS} for name in namespaces}


def _create_folder(path: Path) -> None:
    """Host paths ignore fsGroup: the folder belongs to the pods' user from the start."""
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, POD_USER, POD_USER)
    path.chmod(0o2775)


def _delete_released_volume(api: ApiClient, namespace: str, claim: str) -> None:
    """A volume of a deleted namespace's claim is never bound again: it makes room for a new one."""
    path = f"/api/v1/persistentvolumes/{_volume_name(namespace, claim)}"
    if api.read(path).get("status", {}).get("phase") in ("Released", "Failed"):
        api.call("DELETE", path)
        wait_until(lambda: api.get(path).status == 404, TIMEOUT_SECONDS, every=0.1)


def _is_usable(api: ApiClient, namespace: str) -> bool:
    path = f"/api/v1/namespaces/{namespace}"
    if api.get(f"{path}/serviceaccounts/default").status != 200:
        return False
    claims = [api.read(f"{path}/persistentvolumeclaims/{claim}") for claim in CLAIMS]
    return all(claim.get("status", {}).get("phase") == "Bound" for claim in claims)


def _namespace(name: str) -> dict[str, object]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _volume_name(namespace: str, claim: str) -> str:
    return f"{namespace}-{claim}"


def _volume(namespace: str, claim: str, path: Path) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": _volume_name(namespace, claim)},
        "spec": {
            "capacity": {"storage": CAPACITY},
            "accessModes": ACCESS_MODES,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": str(path), "type": "Directory"},
        },
    }


def _claim(namespace: str, name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ACCESS_MODES,
            "resources": {"requests": {"storage": CAPACITY}},
            "storageClassName": "",
            "volumeName": _volume_name(namespace, name),
        },
    }
