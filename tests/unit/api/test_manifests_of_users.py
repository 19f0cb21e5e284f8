"""Manifests that the API server accepts are read by the models, with the same defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.crds import MODELS
from finetune_api.group import API_VERSION, Kind

ROOT = Path(__file__).resolve().parents[3]
ACCEPTED = sorted((ROOT / "tests" / "cluster" / "admission" / "accepted").glob("*.yaml"))
EXAMPLES = [path for path in sorted((ROOT / "examples").rglob("*.yaml")) if API_VERSION in path.read_text()]


def read(manifest: Path) -> dict[str, Any]:
    document = yaml.safe_load(manifest.read_text())
    found: dict[str, Any] = (
        MODELS[Kind(document["kind"])].model_validate(document).model_dump(mode="json", by_alias=True)
    )
    return found


@pytest.mark.parametrize("manifest", ACCEPTED, ids=lambda path: path.stem)
def test_the_operator_fills_in_what_the_api_server_fills_in(manifest: Path) -> None:
    comment = [line for line in manifest.read_text().splitlines() if line.startswith("# default: ")]
    for line in comment:
        path, value = line.removeprefix("# default: ").split(" = ")
        found: Any = read(manifest)
        for name in path.split("."):
            found = found[name]
        assert without_nothing(found) == json.loads(value), path


def without_nothing(value: Any) -> Any:
    """Fields that are not set are left out, as the API server does."""
    if isinstance(value, dict):
        return {name: without_nothing(item) for name, item in value.items() if item is not None}
    return value


@pytest.mark.parametrize("manifest", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_read(manifest: Path) -> None:
    assert read(manifest)["spec"]


def test_there_are_examples() -> None:
    assert EXAMPLES
    assert ACCEPTED
