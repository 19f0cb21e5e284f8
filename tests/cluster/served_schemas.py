"""What the API server publishes of our kinds: the schemas that `kubectl explain` and `kubectl apply` read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from localcluster import Cluster

PUBLISHED = "/openapi/v3/apis/finetune.dev/v1alpha1"


def published(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Schema of each kind by its name; empty when the API server does not know the group yet."""
    answer = cluster.kubectl("get", "--raw", PUBLISHED, check=False, capture_output=True)
    if answer.returncode:
        return {}
    schemas = json.loads(answer.stdout)["components"]["schemas"]
    return {name.rsplit(".", 1)[1]: schema for name, schema in schemas.items() if name.startswith("dev.finetune.")}


def committed(definitions: Path) -> dict[str, dict[str, Any]]:
    """Schema of each kind by its name, as the files of a folder say."""
    documents = [yaml.safe_load(path.read_text()) for path in sorted(definitions.glob("*.yaml"))]
    return {
        document["spec"]["names"]["kind"]: document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for document in documents
    }


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and schema of every field of spec and status, the deep ones included."""
    for name, child in schema.get("properties", {}).items():
        if not path and name not in ("spec", "status"):
            continue
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    if isinstance(items := schema.get("items"), dict):
        yield from fields(items, f"{path}[]")


def described(schemas: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Description of every field, by kind and path: what two versions of a schema are told apart by."""
    return {
        kind: {path: field.get("description", "") for path, field in fields(schema)}
        for kind, schema in schemas.items()
        if not kind.endswith("List")
    }
