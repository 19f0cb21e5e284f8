"""What there is: resources by phase and reason."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from finetune_api.conditions import ConditionType
from finetune_api.group import Kind
from finetune_operator.cache import Cache
from finetune_operator.metrics.bounds import FirstComers, known_reason
from finetune_operator.views import AnyResource

COUNTED = frozenset({Kind.FINE_TUNE_JOB, Kind.EVALUATION, Kind.COMPARISON})
"""The kinds that have phases."""
NAMESPACES = 100
"""Those that are told apart."""


@dataclass(frozen=True)
class Standing:
    """How a resource stands, in the words of its status."""

    kind: Kind
    namespace: str
    phase: str
    reason: str


def standing(resource: AnyResource) -> Standing:
    phase = resource.status.phase
    word = _reason(resource.status)
    return Standing(
        resource.key.kind,
        resource.key.namespace,
        phase.value if phase is not None else "Pending",
        known_reason(word) if word else "",
    )


def _reason(status: Any) -> str:
    """That of the condition Complete, which tells at every time what a resource waits for, does or ended with."""
    complete = (item.reason for item in status.conditions if item.type == ConditionType.COMPLETE)
    return next(complete, "")


class Census(Collector):
    """One pass over the resources that are known."""

    def __init__(self, cache: Cache, namespaces: int = NAMESPACES) -> None:
        self._cache = cache
        self._namespaces: FirstComers[str] = FirstComers(namespaces)

    def collect(self) -> Iterator[Metric]:
        counts = Counter(standing(item) for item in self._cache.all_resources() if item.key.kind in COUNTED)
        named = self._namespaces.choose(sorted({item.namespace for item in counts}))
        told: Counter[tuple[str, str, str, str]] = Counter()
        for item, count in counts.items():
            namespace = item.namespace if item.namespace in named else ""
            told[item.kind.value, namespace, item.phase, item.reason] += count
        family = GaugeMetricFamily(
            "finetune_resources",
            "FineTuneJobs, Evaluations and Comparisons that there are, by phase and reason.",
            labels=["kind", "namespace", "phase", "reason"],
        )
        for labels, count in sorted(told.items()):
            family.add_metric(labels, count)
        yield family
