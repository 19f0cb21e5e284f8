"""How long a reconcile takes, what it fails of, and how much work waits."""

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from finetune_api.group import Kind
from finetune_operator.workqueue import WorkQueue


class Failing(StrEnum):
    """What made a reconcile fail; it is repeated after a pause."""

    REFUSED = "refused"
    """The API server answered with an error."""
    NO_ANSWER = "no_answer"
    DEFECT = "defect"
    """One of ours; the operator's log has the traceback."""


SECONDS = Histogram(
    "finetune_operator_reconcile_duration_seconds",
    "Time that a reconcile took, with the requests that it made.",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FAILED = Counter("finetune_operator_reconcile_failures_total", "Reconciles that failed, by cause.", ["kind", "cause"])


@contextmanager
def timed(kind: Kind) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        SECONDS.labels(kind.value).observe(time.perf_counter() - began)


def failed(kind: Kind, cause: Failing) -> None:
    FAILED.labels(kind.value, cause.value).inc()


class Backlog(Collector):
    """The work queue, as it is when somebody asks."""

    def __init__(self, queue: WorkQueue[Any]) -> None:
        self._queue: WorkQueue[Hashable] = queue

    def collect(self) -> Iterator[Metric]:
        depth = "Resources that wait for a worker."
        yield GaugeMetricFamily("finetune_operator_queue_depth", depth, value=len(self._queue))
        oldest = "Time that the oldest of them has been waiting for a worker, or has kept one busy."
        age = self._queue.oldest_age()
        yield GaugeMetricFamily("finetune_operator_queue_oldest_age_seconds", oldest, value=age)
