"""The tables in docs/metrics.md and what Prometheus is told are the same, and follow its conventions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

import finetune_operator.main  # noqa: F401 - all modules of the operator, with what they count
from finetune_operator.cache import Cache
from finetune_operator.metrics import collectors
from finetune_operator.workqueue import WorkQueue

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(finetune_\w+)` \| (\w+) \| ([\w, ]*?) ?\| (.+) \|$", re.MULTILINE)
OURS = "finetune_"


@dataclass(frozen=True)
class Described:
    """A metric, by the name that it is asked for."""

    name: str
    type: str
    labels: frozenset[str]


def documented() -> list[Described]:
    rows = ROW.findall(DOCUMENT.read_text())
    return [Described(name, type_, frozenset(labels.replace(",", " ").split())) for name, type_, labels, _ in rows]


@pytest.fixture
def collected() -> CollectorRegistry:
    """What is worked out when somebody asks."""
    registry = CollectorRegistry()
    collectors.register(registry, Cache(), WorkQueue())
    return registry


def counted() -> Iterator[tuple[Metric, tuple[str, ...]]]:
    """What is counted where it happens, with its labels."""
    for collector in set(REGISTRY._collector_to_names):
        for family in collector.collect():
            if family.name.startswith(OURS):
                yield family, collector._labelnames  # type: ignore[attr-defined]


def described(family: Metric, labels: tuple[str, ...]) -> Described:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return Described(name, family.type, frozenset(labels))


def test_the_tables_and_what_is_told_are_the_same(collected: CollectorRegistry) -> None:
    told = [described(family, labels) for family, labels in counted()]
    told += [described(family, family._labelnames) for family in collected.collect()]  # type: ignore[attr-defined]
    rows = documented()
    assert len(rows) == len(set(rows))
    assert set(rows) == set(told)


def exposed(registry: CollectorRegistry) -> list[Metric]:
    """As Prometheus reads it."""
    text = generate_latest(registry).decode()
    return [family for family in text_string_to_metric_families(text) if family.name.startswith(OURS)]


NOT_BASE = (
    "milliseconds",
    "minutes",
    "hours",
    "kwh",
    "kilobytes",
    "megabytes",
    "mib",
    "percent",
    "percentage",
    "count",
)
"""Words that a name does not end with: units that are not Prometheus' own, and what a histogram says of itself."""


def test_every_metric_has_help_a_type_and_a_base_unit(collected: CollectorRegistry) -> None:
    families = [*exposed(REGISTRY), *exposed(collected)]
    assert len(families) == len(documented())
    for family in families:
        assert family.documentation.endswith("."), family.name
        assert family.type in ("gauge", "counter", "histogram"), family.name
        assert not family.name.endswith(NOT_BASE), family.name
        assert re.fullmatch(r"finetune_[a-z_]+", family.name), family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds"), family.name


TAKEN = frozenset({"job", "instance", "pod", "service", "le", "quantile"})
"""Labels that Prometheus sets itself, or that mean something to it."""


def test_no_label_is_one_that_prometheus_sets_itself() -> None:
    assert {label for row in documented() for label in row.labels} & TAKEN == set()


def test_only_counters_end_in_total() -> None:
    for row in documented():
        assert row.name.endswith("_total") == (row.type == "counter"), row.name


def test_no_series_tells_when_a_counter_began() -> None:
    assert "_created" not in generate_latest(REGISTRY).decode()
