"""Where a difference lies: the same inference on parts of a task's examples. Exploratory: the parts are many, they
overlap, and nothing is adjusted for their number."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.statistics import inference, pairing
from finetune_trainer.statistics.inference import Inference, Sample
from finetune_trainer.statistics.least_groups import MINIMUM_EFFECTIVE_GROUPS
from finetune_trainer.statistics.pairing import PairedTask
from finetune_trainer.suites import model

_SCORE_BOUNDS = (-1.0, 1.0)
_WORDS_UP_TO = (20, 40, 80, 160)
"""Upper ends of the classes of length."""
_NUMBER = re.compile(r"^([-+]?)\$?(\d[\d,]*\.?\d*|\.\d+)$")
_UNITS = {
    "billions": re.compile(r"(?<=\d)\s?(?:billion|bn|b)\b", re.IGNORECASE),
    "millions": re.compile(r"(?<=\d)\s?(?:million|mn|m)\b", re.IGNORECASE),
    "thousands": re.compile(r"(?<=\d)\s?(?:thousand|k)\b", re.IGNORECASE),
    "percent": re.compile(r"(?<=\d)\s?(?:%|percent\b|per cent\b)", re.IGNORECASE),
    "per share": re.compile(r"\bper (?:\w+ )?share\b|\ba share\b|\bEPS\b", re.IGNORECASE),
}
"""Units and scales, as figures in English texts carry them."""


class Dimension(StrEnum):
    """By what examples are told apart."""

    RESULT = "result"
    UNIT = "unit"
    LENGTH = "length"
    PATTERN = "pattern"


@dataclass(frozen=True, order=True)
class Slice:
    """A part of a task's examples. Those of one dimension may overlap: a text may name several units."""

    dimension: Dimension
    name: str


@dataclass(frozen=True)
class SliceEffect:
    """The difference on one slice of one task."""

    task: str
    title: str
    slice: Slice
    examples: int
    base: float
    tuned: float
    inference: Inference


@dataclass(frozen=True)
class Slices:
    """The effects on all slices with enough groups, and how many others there were."""

    effects: tuple[SliceEffect, ...] = ()
    left_out: int = 0


def slices_of(text: str, reference: str | None, pattern: str | None) -> frozenset[Slice]:
    """The slices that an example lies in. `text` is the question; what stands before its last blank line is taken as
    the instruction, which all questions of a task share, and tells of no unit."""
    body = text.rsplit("\n\n", 1)[-1]
    found = [Slice(Dimension.UNIT, unit) for unit, named in _UNITS.items() if named.search(body)]
    found.append(Slice(Dimension.LENGTH, _length(text)))
    result = _result(reference)
    if result is not None:
        found.append(Slice(Dimension.RESULT, result))
    if pattern is not None:
        found.append(Slice(Dimension.PATTERN, pattern))
    return frozenset(found)


def _result(reference: str | None) -> str | None:
    """By the sign of a reference that is a number; zero is neither."""
    figure = _NUMBER.match((reference or "").strip())
    if figure is None or not figure[2].strip("0.,"):
        return None
    return "loss" if figure[1] == "-" else "profit"


def _length(text: str) -> str:
    words = len(text.split())
    start = 1
    for end in _WORDS_UP_TO:
        if words <= end:
            return f"{start} to {end} words"
        start = end + 1
    return f"{start} words or more"


def slice_effects(
    suite: model.LoadedSuite, base: Sequence[ScoredPrediction], tuned: Sequence[ScoredPrediction]
) -> Slices:
    """Of each scored task. Raises PairingError where the two did not answer the same examples."""
    found: list[SliceEffect] = []
    left_out = 0
    for task in suite.suite.scored_tasks:
        pair = pairing.pair_task(task, base, tuned)
        members = _members(pair, suite.examples[task.name])
        effects = [_effect(pair, each, members[each]) for each in _sorted(members)]
        found += [effect for effect in effects if effect is not None]
        left_out += sum(effect is None for effect in effects)
    return Slices(tuple(found), left_out)


def _members(pair: PairedTask, examples: Iterable[model.Example]) -> Mapping[Slice, list[int]]:
    """Places of each slice's examples among the pairs. A slice that holds all of them is none."""
    by_id = {example.id: example for example in examples}
    members: dict[Slice, list[int]] = defaultdict(list)
    for place, name in enumerate(pair.ids):
        example = by_id[name]
        for each in slices_of(_question(example), example.reference, example.pattern):
            members[each].append(place)
    return {part: places for part, places in members.items() if len(places) < len(pair.ids)}


def _question(example: model.Example) -> str:
    return example.messages[-1].content if example.messages else example.prompt or ""


def _sorted(members: Iterable[Slice]) -> Iterator[Slice]:
    order = list(Dimension)
    yield from sorted(members, key=lambda each: (order.index(each.dimension), each.name))


def _effect(pair: PairedTask, part: Slice, places: Sequence[int]) -> SliceEffect | None:
    """None where the groups are too few, or too few of them changed, for the interval to mean something."""
    sample = _sample(pair, part, places)
    if len(set(sample.groups)) < MINIMUM_EFFECTIVE_GROUPS:
        return None
    found = inference.infer(sample, _SCORE_BOUNDS)
    if not found.is_sufficient:
        return None
    index = np.array(places)
    base, tuned = float(pair.base[index].mean()), float(pair.tuned[index].mean())
    return SliceEffect(pair.task.name, pair.task.title, part, len(places), base, tuned, found)


def _sample(pair: PairedTask, part: Slice, places: Sequence[int]) -> Sample:
    """Within one pattern, what examples have in common is the group alone."""
    index = np.array(places)
    patterns = None if pair.patterns is None else tuple(pair.patterns[place] for place in places)
    groups = tuple(pair.groups[place] for place in places)
    sample = Sample(pair.differences[index], np.ones(len(places)), groups, patterns)
    return replace(sample, patterns=None) if part.dimension is Dimension.PATTERN else sample
