"""From a pydantic model's JSON schema to the structural schema that the API server accepts.

The API server refuses `$ref`, `anyOf` with types, numeric exclusive bounds and more, and drops other keywords
without a word; here they are inlined, rewritten or left out.
"""

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_DROPPED = frozenset({"title", "propertyNames", "$defs", "examples", "deprecated", "readOnly", "discriminator"})
_RULES = "x-kubernetes-validations"


def structural_schema(model: type[BaseModel]) -> Schema:
    """The `openAPIV3Schema` of one kind: its spec and status."""
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(document, document.get("$defs", {}))


def _convert(node: Schema, definitions: Schema) -> Schema:
    node = _without_null(_inlined(node, definitions), definitions)
    converted = {key: value for key, value in node.items() if key not in _DROPPED}
    if "description" in converted:
        converted["description"] = " ".join(converted["description"].split())
    if "const" in converted:
        converted["enum"] = [converted.pop("const")]
    _rewrite_exclusive_bounds(converted)
    _convert_children(converted, definitions)
    _settle_default(converted)
    return converted


def _inlined(node: Schema, definitions: Schema) -> Schema:
    """The node with its `$ref` resolved; what stands beside a reference goes before what it refers to."""
    if "$ref" not in node:
        return node
    target = _inlined(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    beside = {key: value for key, value in node.items() if key != "$ref"}
    rules = [*target.get(_RULES, []), *beside.get(_RULES, [])]
    merged = {**target, **beside}
    return {**merged, _RULES: rules} if rules else merged


def _without_null(node: Schema, definitions: Schema) -> Schema:
    """`X | None` as X without a default: leaving a field out is how Kubernetes says None."""
    if "anyOf" not in node:
        return node
    choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
    if len(choices) != 1:
        raise ValueError(f"a structural schema has one type a field, this has {len(choices)}: {node}")
    beside = {key: value for key, value in node.items() if key != "anyOf" and not (key == "default" and value is None)}
    choice = _inlined(choices[0], definitions)
    rules = [*choice.get(_RULES, []), *beside.get(_RULES, [])]
    merged = {**choice, **beside}
    return {**merged, _RULES: rules} if rules else merged


def _rewrite_exclusive_bounds(node: Schema) -> None:
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in node:
            node[bound] = node[exclusive]
            node[exclusive] = True


def _convert_children(node: Schema, definitions: Schema) -> None:
    if "properties" in node:
        node["properties"] = {name: _convert(child, definitions) for name, child in node["properties"].items()}
        node.pop("additionalProperties", None)
    elif isinstance(node.get("additionalProperties"), dict):
        node["additionalProperties"] = _convert(node["additionalProperties"], definitions)
    elif node.get("x-kubernetes-preserve-unknown-fields"):
        node.pop("additionalProperties", None)
    if "items" in node:
        node["items"] = _convert(node["items"], definitions)


def _settle_default(node: Schema) -> None:
    """An object's default is `{}`: its fields bring their own. The others are told in the description,
    since `kubectl explain` shows no defaults."""
    if "default" not in node:
        return
    if "properties" in node:
        node["default"] = _default_of_an_object(node)
    elif node["default"] not in ({}, [], None):
        value = node["default"] if not isinstance(node["default"], list) else ", ".join(node["default"])
        told = str(value).lower() if isinstance(value, bool) else value
        node["description"] = f"{node.get('description', '')} Default: {told}.".strip()


def _default_of_an_object(node: Schema) -> Schema:
    """`{}`, or what its required fields need, such as a status's observedGeneration."""
    return {name: node["default"][name] for name in node.get("required", []) if name in node["default"]}
