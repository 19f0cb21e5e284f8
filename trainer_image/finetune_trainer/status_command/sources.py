"""Where the objects come from: kubectl, with whatever rights its user has, or a file of what it once printed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from finetune_api.group import GROUP, MANAGER, NAMES, Kind, Label
from finetune_trainer.status_command.errors import InputError

Object = Mapping[str, Any]

OURS = ",".join(f"{NAMES[kind].plural}.{GROUP}" for kind in (Kind.FINE_TUNE_JOB, Kind.EVALUATION))
SELECTOR = f"{Label.MANAGED_BY.value}={MANAGER}"
KUBECTL_SECONDS = 60


@dataclass(frozen=True)
class Found:
    """What could be read."""

    objects: tuple[Object, ...]
    everywhere: bool
    """Whether other namespaces are among it."""
    notes: tuple[str, ...] = ()
    """What could not be read, and what that means."""


def from_file(path: Path) -> Found:
    """As `kubectl get finetunejobs,evaluations,jobs,pods --all-namespaces -o json` prints it; `-` is stdin."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
        documents = [item for item in yaml.safe_load_all(text) if item is not None]
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"--from: {path} cannot be read: {error}") from error
    return Found(tuple(_objects(documents, path)), everywhere=True)


def _objects(documents: Iterable[Any], path: Path) -> Iterable[Object]:
    for document in documents:
        items = document["items"] if isinstance(document, dict) and "items" in document else [document]
        for item in items or []:
            if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict):
                raise InputError(f"--from: {path} holds something else than Kubernetes objects")
            yield item


def from_kubectl(namespace: str) -> Found:
    """Of all namespaces where that is allowed; else of this one. InputError where not even that is."""
    everywhere = _get(OURS, "--all-namespaces")
    ours = everywhere if everywhere is not None else _get_or_fail(OURS, "--namespace", namespace)
    scope = ("--all-namespaces",) if everywhere is not None else ("--namespace", namespace)
    notes = [] if everywhere is not None else ["other namespaces may not be read: who waits there is not counted"]
    children = _get("pods,jobs.batch", *scope, "--selector", SELECTOR)
    if children is None:
        notes.append("pods and Jobs may not be read: the order is that of age alone")
    queued = any(item.get("spec", {}).get("queueName") for item in ours)
    workloads = _get("workloads.kueue.x-k8s.io", *scope) if queued else []
    if workloads is None:
        notes.append("Kueue's Workloads may not be read: the order of its queues is that of age alone")
    found = (*ours, *(children or ()), *(workloads or ()))
    return Found(found, everywhere is not None, tuple(notes))


def current_namespace() -> str:
    """That of kubectl's context."""
    finished = _kubectl("config", "view", "--minify", "--output", "jsonpath={..namespace}")
    return finished.stdout.strip() or "default"


def _get_or_fail(kinds: str, *arguments: str) -> list[Object]:
    finished = _kubectl("get", kinds, *arguments, "--output", "json")
    if finished.returncode != 0:
        raise InputError(f"kubectl: {finished.stderr.strip()}")
    items: list[Object] = json.loads(finished.stdout)["items"]
    return items


def _get(kinds: str, *arguments: str) -> list[Object] | None:
    """None where it is not allowed, or not there."""
    try:
        return _get_or_fail(kinds, *arguments)
    except InputError:
        return None


def _kubectl(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ("kubectl", *arguments), capture_output=True, text=True, check=False, timeout=KUBECTL_SECONDS
        )
    except FileNotFoundError as error:
        raise InputError("kubectl is not installed: install it, or name a file with --from") from error
    except subprocess.TimeoutExpired as error:
        raise InputError(f"kubectl: no answer within {KUBECTL_SECONDS} s") from error
