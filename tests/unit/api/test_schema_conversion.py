"""From a model's JSON schema to what the API server accepts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import Field

from finetune_api.fields import ApiModel, decimal_string, exactly_one_of, rule, validations
from finetune_api.schema import structural_schema


class Colour(StrEnum):
    RED = "red"


class Inner(ApiModel):
    """Something inside."""

    model_config = {"json_schema_extra": validations(rule("self.depth > 0", "depth must be above 0"))}

    depth: Annotated[int, Field(gt=0, lt=10)] = 1
    """How deep
    it is."""


class Outer(ApiModel):
    colour: Colour | None = None
    """Which colour."""
    inner: Annotated[Inner, Field(json_schema_extra=validations(rule("true", "always")))] = Inner()
    """What is inside here."""
    maybe: Inner | None = None
    """What may be inside."""
    fixed: Literal["v1"] = "v1"
    """Never anything else."""
    share: decimal_string(minimum="0", maximum="1", example="0.5", open_below=True) = "0.5"  # type: ignore[valid-type]
    """A share."""
    words: tuple[str, ...] = ("a", "b")
    """Some words."""
    on: bool = False
    """Whether it is on."""


SCHEMA = structural_schema(Outer)["properties"]


def test_a_reference_is_replaced_by_what_it_refers_to() -> None:
    assert SCHEMA["inner"]["properties"]["depth"]["type"] == "integer"
    assert SCHEMA["colour"] == {"type": "string", "enum": ["red"], "description": "Which colour."}


def test_the_fields_own_description_wins_and_is_one_line() -> None:
    assert SCHEMA["inner"]["description"] == "What is inside here."
    assert SCHEMA["inner"]["properties"]["depth"]["description"] == "How deep it is. Default: 1."


def test_the_rules_of_the_type_and_of_the_field_both_hold() -> None:
    messages = [rule["message"] for rule in SCHEMA["inner"]["x-kubernetes-validations"]]
    assert messages == ["depth must be above 0", "always"]


def test_an_optional_field_is_one_that_may_be_left_out() -> None:
    assert SCHEMA["maybe"]["type"] == "object"
    assert "default" not in SCHEMA["maybe"]


def test_an_exclusive_bound_is_a_bound_and_a_flag() -> None:
    depth = SCHEMA["inner"]["properties"]["depth"]
    assert (depth["minimum"], depth["exclusiveMinimum"]) == (0, True)
    assert (depth["maximum"], depth["exclusiveMaximum"]) == (10, True)


def test_a_constant_is_an_enumeration_of_one() -> None:
    assert SCHEMA["fixed"]["enum"] == ["v1"]


def test_the_default_of_an_object_is_left_to_its_fields() -> None:
    assert SCHEMA["inner"]["default"] == {}
    assert SCHEMA["inner"]["properties"]["depth"]["default"] == 1


def test_defaults_are_told_in_the_description() -> None:
    assert SCHEMA["words"]["description"] == "Some words. Default: a, b."
    assert SCHEMA["on"]["description"] == "Whether it is on. Default: false."
    assert SCHEMA["share"]["description"] == "A share. Default: 0.5."


def test_a_decimal_is_a_bounded_text_with_one_rule_that_repeats_it() -> None:
    assert (SCHEMA["share"]["type"], SCHEMA["share"]["maxLength"]) == ("string", 32)
    (only,) = SCHEMA["share"]["x-kubernetes-validations"]
    assert "double(self) > double('0') && double(self) <= double('1')" in only["rule"]
    assert only["messageExpression"].endswith("""not "' + self + '"'""")


def test_a_field_of_two_types_is_refused() -> None:
    class Torn(ApiModel):
        value: int | str

    with pytest.raises(ValueError, match="one type a field, this has 2"):
        structural_schema(Torn)


def test_the_only_source_is_asked_for_by_its_name() -> None:
    assert exactly_one_of("hub")["message"] == "hub must be given"
    assert exactly_one_of("hub", "claim")["message"] == "exactly one of hub, claim must be given"
