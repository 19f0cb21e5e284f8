"""What the API server would refuse of a spec, by the same schema, beside what reading it into the model refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finetune_api.schema import Schema
from finetune_trainer.plan_command.rules import holds


def unknown_fields(schema: Schema, value: Any, where: str) -> Iterator[str]:
    """Most often misspelt ones, whose defaults would be planned with silently."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_fields(schema.get("items", {}), item, f"{where}[{index}]")
    elif isinstance(value, dict) and "properties" in schema:
        fields = schema["properties"]
        for key, inner in value.items():
            if key not in fields:
                yield f"{where}.{key}: there is no such field; {where} has {', '.join(sorted(fields))}"
            else:
                yield from unknown_fields(fields[key], inner, f"{where}.{key}")


def refusals(schema: Schema, value: Any, where: str) -> Iterator[str]:
    """Of a value with its defaults, whose types and bounds are right: values that are not among those to choose from,
    repetitions, broken rules. Inner ones first, as rules suppose that what they look at can be read."""
    for inner_schema, inner, place in _inner(schema, value, where):
        yield from refusals(inner_schema, inner, place)
    if value not in schema.get("enum", (value,)):
        yield f"{where}: must be {' or '.join(schema['enum'])}, not {value}"
    yield from _repetitions(schema, value, where)
    for rule in schema.get("x-kubernetes-validations", ()):
        if not holds(rule["rule"], value):
            written = f', not "{value}"' if "messageExpression" in rule else ""
            yield f"{where}{rule.get('fieldPath', '')}: {rule['message']}{written}"


def _inner(schema: Schema, value: Any, where: str) -> Iterator[tuple[Schema, Any, str]]:
    if isinstance(value, list):
        yield from ((schema["items"], item, f"{where}[{index}]") for index, item in enumerate(value))
    elif isinstance(value, dict):
        fields, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        yield from ((fields.get(key, others), inner, f"{where}.{key}") for key, inner in value.items())


def _repetitions(schema: Schema, value: Any, where: str) -> Iterator[str]:
    """The keys of a list that is a map, or the items of one that is a set."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys is None and schema.get("x-kubernetes-list-type") != "set":
        return
    seen: list[Any] = []
    for index, item in enumerate(value):
        name = item if keys is None else [item.get(key) for key in keys]
        if name in seen:
            yield f"{where}[{index}]: {item if keys is None else ', '.join(map(str, name))} is there more than once"
        seen.append(name)
