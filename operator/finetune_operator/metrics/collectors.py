"""What is worked out when Prometheus asks."""

from prometheus_client import CollectorRegistry

from finetune_operator.cache import Cache
from finetune_operator.metrics.census import Census
from finetune_operator.metrics.reconciles import Backlog
from finetune_operator.metrics.running import Running
from finetune_operator.views import Key
from finetune_operator.workqueue import WorkQueue


def register(registry: CollectorRegistry, cache: Cache, queue: WorkQueue[Key]) -> None:
    for collector in (Census(cache), Running(cache), Backlog(queue)):
        registry.register(collector)
