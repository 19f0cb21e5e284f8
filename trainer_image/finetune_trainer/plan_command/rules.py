"""The CRD's rules, which are in CEL, in Python: those on texts term by term, those over several fields one by one.

A rule is known by its expression, so that one which the API changes is not judged by what it said before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from finetune_api.fields import LABEL_KEY
from finetune_trainer.quantities import quantity

Fields = Mapping[str, Any]


class UnknownRuleError(LookupError):
    """The API has a rule that is not told here."""


def holds(expression: str, value: Any) -> bool:
    """Whether the value keeps the rule. UnknownRuleError where it is not known."""
    if isinstance(value, str):
        return any(all(_term_holds(term, value) for term in part.split(" && ")) for part in expression.split(" || "))
    if (given := _GIVEN.fullmatch(expression)) is not None:
        return sum(name in value for name in re.findall(r"self\.(\w+)", given[0])) == 1
    if expression not in _OVER_FIELDS:
        raise UnknownRuleError(expression)
    return _OVER_FIELDS[expression](value)


def _term_holds(term: str, text: str) -> bool:
    for pattern, is_so in _TERMS.items():
        if (match := re.fullmatch(pattern, term)) is not None:
            return is_so(text, match[1] if match.groups() else "")
    raise UnknownRuleError(term)


def _amount(text: str) -> Decimal:
    amount = quantity(text)
    return Decimal(0) if amount is None else amount


_TERMS: dict[str, Callable[[str, str], bool]] = {
    r"self\.matches\('(.*)'\)": lambda text, pattern: re.fullmatch(pattern, text) is not None,
    r"self == '(.*)'": lambda text, other: text == other,
    r"self != '(.*)'": lambda text, other: text != other,
    r"!self\.startsWith\('(.*)'\)": lambda text, start: not text.startswith(start),
    r"!self\.endsWith\('(.*)'\)": lambda text, end: not text.endswith(end),
    r"!self\.split\('/'\)\.exists\(part, part == '(.*)'\)": lambda text, part: part not in text.split("/"),
    r"double\(self\) > double\('(.*)'\)": lambda text, bound: Decimal(text) > Decimal(bound),
    r"double\(self\) >= double\('(.*)'\)": lambda text, bound: Decimal(text) >= Decimal(bound),
    r"double\(self\) <= double\('(.*)'\)": lambda text, bound: Decimal(text) <= Decimal(bound),
    r"isQuantity\(self\)": lambda text, _: quantity(text) is not None,
    r"quantity\(self\)\.isGreaterThan\(quantity\('(.*)'\)\)": lambda text, bound: _amount(text) > _amount(bound),
    r"!quantity\(self\)\.isLessThan\(quantity\('(.*)'\)\)": lambda text, bound: _amount(text) >= _amount(bound),
}

_GIVEN = re.compile(
    r"has\(self\.\w+\)|\[has\(self\.\w+\)(, has\(self\.\w+\))*\]\.filter\(given, given\)\.size\(\) == 1"
)
"""Exactly one of the named fields."""


def _micro_batch_divides(training: Fields) -> bool:
    size = training.get("microBatchSize")
    return training["packing"] or size is None or training["effectiveBatchSize"] % size == 0


_OVER_FIELDS: dict[str, Callable[[Fields], bool]] = {
    "self.packing || !has(self.microBatchSize) || self.effectiveBatchSize % self.microBatchSize == 0": (
        _micro_batch_divides
    ),
    "!has(self.quantization) || self.quantization == 'none' || self.method != 'lora'": (
        lambda spec: spec.get("quantization", "none") == "none" or spec["method"] != "lora"
    ),
    "!has(self.quantization) || self.quantization != 'none' || self.method != 'qlora'": (
        lambda spec: spec.get("quantization") != "none" or spec["method"] != "qlora"
    ),
    "!has(self.training.earlyStopping) || double(self.dataset.validationFraction) > 0.0": (
        lambda spec: "earlyStopping" not in spec["training"] or Decimal(spec["dataset"]["validationFraction"]) > 0
    ),
    "self.resources.nodes == 1 || self.resources.gpus > 0": (
        lambda spec: spec["resources"]["nodes"] == 1 or spec["resources"]["gpus"] > 0
    ),
    "has(self.maxPowerWatts) || has(self.maxTemperatureCelsius)": (
        lambda guard: "maxPowerWatts" in guard or "maxTemperatureCelsius" in guard
    ),
    "has(self.server) || !has(self.tokenSecret)": lambda mlflow: "server" in mlflow or "tokenSecret" not in mlflow,
    "has(self.server) || !has(self.apiKeySecret)": lambda wandb: "server" in wandb or "apiKeySecret" not in wandb,
    "!has(self.caCertificate) || self.endpoint.startsWith('https://')": (
        lambda s3: "caCertificate" not in s3 or s3["endpoint"].startswith("https://")
    ),
    f"self.all(key, key.size() <= 317 && key.matches('{LABEL_KEY}'))": (
        lambda labels: all(len(key) <= 317 and re.fullmatch(LABEL_KEY, key) for key in labels)
    ),
    "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''": (
        lambda toleration: toleration.get("operator") != "Exists" or not toleration.get("value")
    ),
    "has(self.key) && self.key != '' || has(self.operator) && self.operator == 'Exists'": (
        lambda toleration: bool(toleration.get("key")) or toleration.get("operator") == "Exists"
    ),
    "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'": (
        lambda toleration: "tolerationSeconds" not in toleration or toleration.get("effect") == "NoExecute"
    ),
}
