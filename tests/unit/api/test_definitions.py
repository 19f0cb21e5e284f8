"""The CustomResourceDefinitions are written from the models, and hold nothing that the API server refuses or drops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api import crds
from finetune_api.group import NAMES, Kind

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = [ROOT / "crds", ROOT / "helm" / "finetune-operator" / "definitions"]
KEYWORDS = {
    "type", "description", "default", "enum", "format", "properties", "required", "items", "additionalProperties",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
    "maxProperties", "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
}  # fmt: skip
BOUNDS = {
    "string": {"maxLength"},
    "integer": {"minimum", "maximum"},
    "number": {"minimum", "maximum"},
    "array": {"maxItems"},
}
Node = dict[str, Any]


def nodes(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if isinstance(child := node.get(part), dict):
            yield from nodes(child, f"{path}[]")


def version(kind: Kind) -> Node:
    (found,) = crds.definition(kind)["spec"]["versions"]
    return dict(found)


def everywhere() -> list[tuple[str, Node]]:
    return [
        found
        for kind in Kind
        for found in nodes(version(kind)["schema"]["openAPIV3Schema"], kind.value)
        if not found[0].endswith(".metadata")
    ]


def has_value(node: Node, name: str) -> bool:
    return name in node.get("required", []) or "default" in node["properties"][name]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_committed_definitions_are_the_generated_ones(folder: Path) -> None:
    assert {path.name: path.read_text() for path in folder.glob("*")} == crds.rendered()


def test_a_definition_that_was_edited_by_hand_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crds.main([str(tmp_path)]) == 0
    assert crds.main([str(tmp_path), "--check"]) == 0
    edited = tmp_path / "finetune.dev_evaluations.yaml"
    edited.write_text(edited.read_text().replace("maximum: 4096", "maximum: 8192"))
    capsys.readouterr()
    assert crds.main([str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err == f"{edited} differs from the models: run `make crds`\n"


def test_schemas_hold_only_what_the_api_server_keeps() -> None:
    assert {path: node.keys() - KEYWORDS for path, node in everywhere() if node.keys() - KEYWORDS} == {}


def test_every_part_of_a_schema_has_one_type() -> None:
    assert [path for path, node in everywhere() if not isinstance(node.get("type"), str)] == []


def test_exclusive_bounds_stand_beside_their_bound() -> None:
    for path, node in everywhere():
        for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if exclusive in node:
                assert node[exclusive] is True, path
                assert bound in node, path


def test_every_list_string_and_number_is_bounded() -> None:
    unbounded = [
        path for path, node in everywhere() if "enum" not in node and not BOUNDS.get(node["type"], set()) <= node.keys()
    ]
    maps = [path for path, node in everywhere() if "additionalProperties" in node and "maxProperties" not in node]
    assert unbounded + maps == []


def test_every_field_is_described_in_one_line() -> None:
    silent = [path for path, node in everywhere() if not path.endswith("[]") and not node.get("description")]
    torn = [path for path, node in everywhere() if "\n" in node.get("description", "")]
    assert silent + torn == []


def test_a_default_that_people_would_not_guess_is_told() -> None:
    for path, node in everywhere():
        if node["type"] in ("string", "integer") and "default" in node:
            assert node["description"].endswith(f"Default: {node['default']}."), path


def test_items_of_a_map_like_list_always_have_their_keys() -> None:
    for path, node in everywhere():
        for key in node.get("x-kubernetes-list-map-keys", []):
            assert has_value(node["items"], key), path


def test_every_rule_says_what_would_be_right() -> None:
    rules = [rule for _, node in everywhere() for rule in node.get("x-kubernetes-validations", [])]
    assert rules
    assert [rule for rule in rules if not rule.get("message")] == []


@pytest.mark.parametrize("kind", Kind)
def test_columns_show_fields_that_exist(kind: Kind) -> None:
    known = {path.replace("[]", "") for path, _ in nodes(version(kind)["schema"]["openAPIV3Schema"], "")}
    for column in version(kind)["additionalPrinterColumns"]:
        path = re.sub(r"\[[^]]*\]", "", column["jsonPath"])
        assert path in known or path == ".metadata.creationTimestamp", column["name"]


def test_an_unseen_resource_has_a_status_that_says_so() -> None:
    for kind in Kind:
        assert version(kind)["schema"]["openAPIV3Schema"]["properties"]["status"]["default"] == {}
        status = version(kind)["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        assert status["observedGeneration"]["default"] == -1
        assert version(kind)["subresources"] == {"status": {}}


def test_kinds_are_told_apart_by_every_name() -> None:
    names = list(NAMES.values())
    for words in ({name.plural for name in names}, {name.singular for name in names}, {name.short for name in names}):
        assert len(words) == len(Kind)


YAML_1_1_WORDS = re.compile(r"[-+]?[0-9][0-9_]*([.][0-9_]*)?([eE][-+]?[0-9]+)?|[yYnN]|[Yy]es|[Nn]o|[Oo]n|[Oo]ff|~|null")


def test_texts_that_another_reader_takes_for_something_else_are_quoted() -> None:
    """kubectl reads YAML 1.1 by other rules than PyYAML: an unquoted `n` is false to it, and `2e-4` a number."""
    for text in crds.rendered().values():
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.ScalarToken) and token.plain and YAML_1_1_WORDS.fullmatch(token.value):
                assert isinstance(yaml.safe_load(token.value), int), token.value
