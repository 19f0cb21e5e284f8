"""What finished trainings took: the registry entries that the next plan of their namespace learns from."""

from collections import defaultdict
from collections.abc import Iterable

from finetune_api.sources import BaseModelSource
from finetune_operator.views import FineTunedModelResource, Key

LESSONS_IN_AN_ORDER = 20
REMEMBERED = 200
"""Trainings of a namespace that are kept in mind, so that one base model's are not crowded out by another's."""


class Lessons:
    """The latest measured trainings of each namespace, so that planning one needs no look at thousands of models."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[FineTunedModelResource, ...]] = defaultdict(tuple)

    def put(self, model: FineTunedModelResource) -> None:
        self.drop(model.key)
        if model.status.training is not None:
            known = (*self._latest[model.key.namespace], model)
            self._latest[model.key.namespace] = tuple(sorted(known, key=_date, reverse=True)[:REMEMBERED])

    def drop(self, key: Key) -> None:
        """The place of one that is deleted is taken by the next training, not by an older one."""
        self._latest[key.namespace] = tuple(model for model in self._latest[key.namespace] if model.key != key)

    def of(self, namespace: str) -> tuple[FineTunedModelResource, ...]:
        """Latest first."""
        return self._latest[namespace]


def chosen(
    lessons: Iterable[FineTunedModelResource], base_model: BaseModelSource
) -> tuple[FineTunedModelResource, ...]:
    """At most twenty, latest first. Those that started from this base model are taken before others."""
    same_first = sorted(lessons, key=lambda model: model.spec.base_model.source != base_model)
    return tuple(sorted(same_first[:LESSONS_IN_AN_ORDER], key=_date, reverse=True))


def _date(model: FineTunedModelResource) -> tuple[str, str]:
    return model.spec.training_date, model.key.name
