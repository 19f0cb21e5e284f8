"""The building blocks of the API: base model, bounded types, and the CEL rules that say what would be right."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

DNS_SUBDOMAIN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL_KEY = "^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$"
LABEL_VALUE = "^([A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)?$"
CPUS = "^([0-9]{1,5}([.][0-9]{1,3})?|[0-9]{1,8}m)$"
CONTENT_DIGEST = "^sha256:[0-9a-f]{64}$"
LARGEST_INTEGER = 2**53
"""Above it, readers that know only floating-point numbers see another number."""


def rule(expression: str, message: str, *, field: str | None = None) -> dict[str, str]:
    """A CEL rule with a fixed message, as `x-kubernetes-validations` wants it; the error names the field, if given."""
    return {"rule": expression, "message": message, **({"fieldPath": f".{field}"} if field else {})}


def rule_naming_the_value(expression: str, what_would_be_right: str) -> dict[str, str]:
    """A CEL rule on a string whose message repeats what was written."""
    quoted = what_would_be_right.replace("'", "\\'")
    message = f"'{quoted}, not \"' + self + '\"'"
    return {"rule": expression, "messageExpression": message, "message": what_would_be_right}


def validations(*rules: dict[str, str]) -> dict[str, Any]:
    return {"x-kubernetes-validations": list(rules)}


def exactly_one_of(*names: str) -> dict[str, str]:
    if len(names) == 1:
        return rule(f"has(self.{names[0]})", f"{names[0]} must be given")
    count = "[" + ", ".join(f"has(self.{name})" for name in names) + "].filter(given, given).size() == 1"
    return rule(count, f"exactly one of {', '.join(names)} must be given")


class ApiModel(BaseModel):
    """What users write and read: camelCase outside, tolerant of fields of a newer version."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    def to_manifest(self) -> dict[str, Any]:
        """As JSON for the API server: camelCase, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class WireModel(ApiModel):
    """What operator and trainer tell each other: an unknown field means that their versions do not fit."""

    model_config = ConfigDict(extra="forbid")


TEXT_LIMIT = 1024
Text = Annotated[str, Field(max_length=TEXT_LIMIT)]
LongText = Annotated[str, Field(max_length=32768)]
Timestamp = Annotated[str, Field(max_length=64)]
"""RFC 3339 in UTC, to the second."""

Count = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
PositiveCount = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
ObservedGeneration = Annotated[int, Field(ge=-1, le=LARGEST_INTEGER)]

Digest = Annotated[str, Field(max_length=128)]
"""`sha256:` and 64 hexadecimal digits; a run's digest is cut to its first 16 digits without prefix."""

ReportedDecimal = Annotated[str, Field(max_length=32)]
"""A decimal number as a string, as Kubernetes' API conventions ask."""

ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        json_schema_extra=validations(
            rule_naming_the_value(
                f"self.matches('{DNS_SUBDOMAIN}')",
                "must be an object's name: lower case letters, digits, '-' and '.'",
            )
        ),
    ),
]


def key_of(kind: str) -> Any:
    """The field of a key's name in an object of that kind: Kubernetes has the same rule for all that hold data."""
    return Field(
        min_length=1,
        max_length=253,
        json_schema_extra=validations(
            rule_naming_the_value(
                "self.matches('^[-._a-zA-Z0-9]+$') && self != '..' && self != '.'",
                f"must be a key of the {kind}: letters, digits, '-', '_' and '.'",
            )
        ),
    )


ConfigMapKeyName = Annotated[str, key_of("ConfigMap")]

ContentDigest = Annotated[
    str,
    Field(
        min_length=1,
        max_length=71,
        json_schema_extra=validations(
            rule_naming_the_value(
                f"self.matches('{CONTENT_DIGEST}')", "must be 'sha256:' and 64 hexadecimal digits in lower case"
            )
        ),
    ),
]

PathInVolume = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        json_schema_extra=validations(
            rule_naming_the_value(
                "!self.startsWith('/') && !self.split('/').exists(part, part == '..')",
                "must be a path inside the volume: relative, without '..', such as \"earnings/v3/train.jsonl\"",
            )
        ),
    ),
]

ServerAddress = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        json_schema_extra=validations(
            rule_naming_the_value(
                "self.matches('^https?://[-.A-Za-z0-9]+(:[0-9]{1,5})?(/[^ ?#]*)?$')",
                'must be the address of a server, such as "http://mlflow.tracking:5000", without user and password',
            )
        ),
    ),
]

CpuQuantity = Annotated[
    str,
    Field(
        min_length=1,
        max_length=16,
        json_schema_extra=validations(
            rule_naming_the_value(
                f"self.matches('{CPUS}') && quantity(self).isGreaterThan(quantity('0'))",
                'must be a number of CPUs above 0, such as "8", "0.5" or "500m"',
            )
        ),
    ),
]

MemoryQuantity = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32,
        json_schema_extra=validations(
            rule_naming_the_value(
                "isQuantity(self) && !quantity(self).isLessThan(quantity('64Mi'))",
                'must be an amount of memory of at least 64Mi, such as "512Mi" or "32Gi"',
            )
        ),
    ),
]

_DECIMAL = r"^[0-9]{1,12}([.][0-9]{1,12})?([eE][-+]?[0-9]{1,2})?$"


def decimal_string(*, minimum: str, maximum: str, example: str, open_below: bool = False) -> Any:
    """A decimal number kept as a string, bounded by one CEL rule. Its exponent is capped: `double('1e400')` fails."""
    below = ">" if open_below else ">="
    bounds = f"double(self) {below} double('{minimum}') && double(self) <= double('{maximum}')"
    words = f"{'above' if open_below else 'at least'} {minimum} and at most {maximum}"
    return Annotated[
        str,
        Field(min_length=1, max_length=32),
        WithJsonSchema(
            {
                "type": "string",
                "minLength": 1,
                "maxLength": 32,
                **validations(
                    rule_naming_the_value(
                        f"self.matches('{_DECIMAL}') && {bounds}",
                        f'must be a decimal number in quotes, {words}, such as "{example}"',
                    )
                ),
            }
        ),
    ]
