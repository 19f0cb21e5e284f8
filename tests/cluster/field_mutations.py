"""Every field of every spec changed as nobody should, from the schema alone: left out, of another type, at its limits
and beyond them. A new field of an API is mutated as soon as it is in the CRDs and in a manifest that is accepted."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import served_schemas

FOLDER = Path(__file__).parent / "admission"
DEFINITIONS = Path(__file__).parents[2] / "crds"
REFUSED_BY_RULES = FOLDER / "refused_by_rules.txt"
"""What the schema lets pass and a rule (CEL) does not, a line each: tests that have no API server read it there."""
UNKNOWN = "noSuchField"
LONG = 300
"""Elements or characters where the schema sets no limit to a field."""

Json = dict[str, Any]
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Mutation:
    kind: str
    field: str
    """Such as `.spec.resources.tolerations[].key`."""
    what: str
    before: Json
    after: Json
    breaks_schema: bool
    """Whether the API server must refuse it; otherwise a rule may."""

    def __str__(self) -> str:
        return f"{self.kind}{self.field} {self.what}"


@dataclass(frozen=True)
class _Change:
    """Of one value; `REMOVED` takes it away."""

    what: str
    value: Any
    breaks_schema: bool


REMOVED = object()


def fields_without_a_manifest() -> list[str]:
    """Fields that no accepted manifest says anything of: nothing can be mutated there."""
    return [f"{kind}{field}" for kind, field, _, _ in _fields() if _first_with(kind, field) is None]


def mutations() -> list[Mutation]:
    return [mutation for kind, field, schema, required in _fields() for mutation in _of(kind, field, schema, required)]


def refused_by_rules() -> frozenset[str]:
    return frozenset(REFUSED_BY_RULES.read_text().splitlines())


def _fields() -> Iterator[tuple[str, str, Json, bool]]:
    """Kind, path and schema of every field of every spec, and whether it must be given."""
    for kind, schema in served_schemas.committed(DEFINITIONS).items():
        by_path = dict(served_schemas.fields(schema))
        for path, field in by_path.items():
            if path.startswith(".spec."):
                parent, _, name = path.rpartition(".")
                holder = by_path[parent.removesuffix("[]")]
                holder = holder["items"] if parent.endswith("[]") else holder
                yield kind, path, field, name in holder.get("required", [])


def _manifests(kind: str) -> Iterator[Json]:
    for path in sorted((FOLDER / "accepted").glob("*.yaml")):
        manifest: Json = yaml.safe_load(path.read_text())
        if manifest["kind"] == kind:
            yield manifest


def _first_with(kind: str, field: str) -> tuple[Json, Path_] | None:
    names = re.findall(r"\[\]|[^.\[\]]+", field)
    for manifest in _manifests(kind):
        found = next(_places(manifest, names), None)
        if found is not None:
            return manifest, found
    return None


def _places(value: Any, names: list[str], here: Path_ = ()) -> Iterator[Path_]:
    if not names:
        yield here
    elif names[0] == "[]" and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _places(item, names[1:], (*here, number))
    elif isinstance(value, dict) and names[0] in value:
        yield from _places(value[names[0]], names[1:], (*here, names[0]))


def _of(kind: str, field: str, schema: Json, required: bool) -> Iterator[Mutation]:
    found = _first_with(kind, field)
    if found is None:
        return
    manifest, place = found
    said = _value_at(manifest, place)
    for change in _changes(schema, said, required):
        if change.value is REMOVED or change.value != said or type(change.value) is not type(said):
            yield Mutation(kind, field, change.what, manifest, _with(manifest, place, change), change.breaks_schema)


def _value_at(value: Any, place: Path_) -> Any:
    for step in place:
        value = value[step]
    return value


def _with(manifest: Json, place: Path_, change: _Change) -> Json:
    changed = copy.deepcopy(manifest)
    holder = _value_at(changed, place[:-1])
    if change.value is REMOVED:
        del holder[place[-1]]
    else:
        holder[place[-1]] = change.value
    return changed


def _changes(schema: Json, said: Any, required: bool) -> Iterator[_Change]:
    yield _Change("left out", REMOVED, required and "default" not in schema)
    match schema["type"]:
        case "string":
            yield from _of_string(schema, said)
        case "integer":
            yield from _of_integer(schema, said)
        case "boolean":
            yield _Change("the other way round", not said, False)
            yield _Change("a word", "yes", True)
        case "array":
            yield from _of_array(schema, said)
        case "object":
            yield from _of_object(schema, said)


def _of_string(schema: Json, said: str) -> Iterator[_Change]:
    yield _Change("a number", 7, True)
    if "enum" in schema:
        yield from (_Change(f"{value!r}", value, False) for value in schema["enum"])
        yield _Change("an unknown word", "NoSuchWord", True)
        return
    yield _Change("empty", "", schema.get("minLength", 0) > 0)
    yield _Change("blank", " ", schema.get("minLength", 0) > 1)
    yield _Change("another word", "another", False)
    yield _Change("another number", "0.25", False)
    yield _Change("as long as may be", "x" * schema.get("maxLength", LONG), False)
    yield _Change("too long", "x" * (schema.get("maxLength", LONG) + 1), "maxLength" in schema)


def _of_integer(schema: Json, said: int) -> Iterator[_Change]:
    yield _Change("a word", "many", True)
    yield _Change("half a number", said + 0.5, True)
    yield _Change("one more", said + 1, said + 1 > schema.get("maximum", said + 1))
    for limit, beyond in (("minimum", -1), ("maximum", 1)):
        if limit in schema:
            yield _Change(f"at its {limit}", schema[limit], False)
            yield _Change(f"beyond its {limit}", schema[limit] + beyond, True)


def _of_array(schema: Json, said: list[Any]) -> Iterator[_Change]:
    yield _Change("a word", "one", True)
    yield _Change("empty", [], schema.get("minItems", 0) > 0)
    yield _Change("one twice", [*said, said[0]], False)
    if "maxItems" in schema:
        yield _Change("too many", [said[0]] * (schema["maxItems"] + 1), True)


def _of_object(schema: Json, said: Json) -> Iterator[_Change]:
    yield _Change("a word", "one", True)
    yield _Change("empty", {}, any("default" not in schema["properties"][name] for name in schema.get("required", [])))
    if "properties" in schema:
        yield _Change("with an unknown field", {**said, UNKNOWN: 1}, True)
    else:
        yield _Change("with a number in it", {**said, "a": 1}, True)
