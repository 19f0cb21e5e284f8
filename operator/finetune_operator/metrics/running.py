"""How what computes now is doing, in the words of its pods' logs. Nothing is read for it that is not read anyway."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from finetune_api.events import ProgressEvent
from finetune_operator.cache import Cache
from finetune_operator.metrics.bounds import FirstComers
from finetune_operator.views import Key

LISTED = 500
"""Of how many the series are told."""
LABELS = ("kind", "namespace", "name")


@dataclass(frozen=True)
class Reading:
    """One figure of a progress event."""

    family: type[GaugeMetricFamily] | type[CounterMetricFamily]
    name: str
    words: str
    read: Callable[[ProgressEvent], float | str | None]


def _share(event: ProgressEvent) -> float | None:
    return min(1.0, max(0.0, event.step / event.steps)) if event.steps else None


READINGS = (
    Reading(
        GaugeMetricFamily,
        "finetune_progress_ratio",
        "Share of the steps or examples of its present stage that are done.",
        _share,
    ),
    Reading(
        GaugeMetricFamily,
        "finetune_remaining_seconds",
        "Time that it still needs, as it estimates.",
        attrgetter("eta_seconds"),
    ),
    Reading(GaugeMetricFamily, "finetune_training_loss", "Training loss at the last report.", attrgetter("loss")),
    Reading(
        GaugeMetricFamily,
        "finetune_training_tokens_per_second",
        "Tokens, without padding, a second of training.",
        attrgetter("tokens_per_second"),
    ),
    Reading(
        GaugeMetricFamily,
        "finetune_checkpoint_age_seconds",
        "Work since the last checkpoint: what a kill would cost.",
        attrgetter("checkpoint_age_seconds"),
    ),
    Reading(
        CounterMetricFamily,
        "finetune_throttled_seconds",
        "Time that the guard has taken, over all attempts.",
        attrgetter("throttled_seconds"),
    ),
    Reading(
        GaugeMetricFamily, "finetune_gpu_power_watts", "Power of the pod's GPUs together.", attrgetter("gpu_watts")
    ),
    Reading(
        GaugeMetricFamily,
        "finetune_gpu_temperature_celsius",
        "Temperature of the pod's hottest GPU.",
        attrgetter("gpu_celsius"),
    ),
    Reading(
        GaugeMetricFamily,
        "finetune_gpu_utilization_ratio",
        "Mean utilization of the pod's GPUs.",
        attrgetter("gpu_utilization"),
    ),
    Reading(
        GaugeMetricFamily,
        "finetune_gpu_memory_used_bytes",
        "Memory in use on the pod's fullest GPU.",
        attrgetter("gpu_memory_bytes"),
    ),
    Reading(
        CounterMetricFamily,
        "finetune_gpu_energy_joules",
        "Energy of the pod's GPUs since the pod began.",
        attrgetter("gpu_joules"),
    ),
)


class Running(Collector):
    """Those that run longest are listed, each until it ends; the others are counted."""

    def __init__(self, cache: Cache, most: int = LISTED) -> None:
        self._cache = cache
        self._listed: FirstComers[Key] = FirstComers(most)

    def collect(self) -> Iterator[Metric]:
        told = self._told()
        listed = sorted(self._listed.choose(told), key=lambda key: (key.kind.value, key.namespace, key.name))
        for reading in READINGS:
            family = reading.family(reading.name, reading.words, labels=LABELS)
            for key in listed:
                value = _number(reading.read, told[key])
                if value is not None:
                    family.add_metric((key.kind.value, key.namespace, key.name), value)
            yield family
        yield GaugeMetricFamily(
            "finetune_running_unlisted",
            f"FineTuneJobs and Evaluations that run and have no series of their own: those beyond the first {LISTED}.",
            value=len(told) - len(listed),
        )

    def _told(self) -> Mapping[Key, ProgressEvent]:
        """By the resource that the pod works for; of two pods the later one tells."""
        found: dict[Key, ProgressEvent] = {}
        for pod in sorted(self._cache.speaking_pods(), key=lambda pod: (pod.started_at, pod.name)):
            key, progress = self._cache.owner_key(pod), self._cache.progress(pod)
            if key is not None and progress is not None:
                found[key] = progress
        return found


def _number(read: Callable[[ProgressEvent], float | str | None], event: ProgressEvent) -> float | None:
    """None for what is no number: a pod's log may say anything, and must not keep others from being told."""
    try:
        value = read(event)
        return None if value is None else float(value)
    except (ValueError, OverflowError):
        return None
