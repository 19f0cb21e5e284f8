"""Requests to the API server, by what they ask and what is answered. kopf's lists and watches are not among them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import Counter, Histogram

NO_ANSWER = "none"
"""Code of a request that nobody answered in time."""


class Verb(StrEnum):
    GET = "get"
    LIST = "list"
    CREATE = "create"
    PATCH = "patch"
    DELETE = "delete"
    LOG = "log"
    """A pod's log, which is counted apart: progress and reports are read there."""


REQUESTS = Counter(
    "finetune_operator_api_requests_total",
    "Requests to the API server but those of logs, and of kopf's lists and watches, by the code of the answer.",
    ["verb", "code"],
)
LOG_READS = Counter(
    "finetune_operator_log_reads_total", "Pods' logs that were asked for, by the code of the answer.", ["code"]
)
SECONDS = Histogram(
    "finetune_operator_api_request_duration_seconds",
    "Time until the API server had answered.",
    ["verb"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


@dataclass
class Asked:
    """A request that is under way."""

    code: str = NO_ANSWER


@contextmanager
def counted(verb: Verb) -> Iterator[Asked]:
    """Whoever is within says which code came. A request that was given up as the operator ends is not counted."""
    asked, began = Asked(), time.perf_counter()
    try:
        yield asked
    except Exception:
        _count(verb, asked.code, time.perf_counter() - began)
        raise
    _count(verb, asked.code, time.perf_counter() - began)


def _count(verb: Verb, code: str, seconds: float) -> None:
    if verb is Verb.LOG:
        LOG_READS.labels(code).inc()
    else:
        REQUESTS.labels(verb.value, code).inc()
    SECONDS.labels(verb.value).observe(seconds)
