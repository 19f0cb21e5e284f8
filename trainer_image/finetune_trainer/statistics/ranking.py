"""Several candidates: their order, and what can be said of one against another."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.statistics import inference, joint, pairing
from finetune_trainer.statistics.holm import holm
from finetune_trainer.statistics.joint import Interval
from finetune_trainer.statistics.overall import overall_sample
from finetune_trainer.suites import model

BOUNDS = (-1.0, 1.0)
"""Scores lie between 0 and 1, so no difference lies outside."""


@dataclass(frozen=True)
class Rank:
    """Where one candidate stands: its place, and its difference from the baseline with a simultaneous interval.
    Candidates with the same score share a place."""

    name: str
    rank: int
    p_holm: float
    interval: Interval


@dataclass(frozen=True)
class Versus:
    """A candidate's overall score less another's, with an interval that is simultaneous over all pairs."""

    rival: str
    interval: Interval


@dataclass(frozen=True)
class Standing:
    """One candidate among several."""

    rank: Rank
    versus: tuple[Versus, ...]


Answers = Sequence[ScoredPrediction]


def stand(suite: model.Suite, base: Answers, candidates: Mapping[str, Answers]) -> dict[str, Standing]:
    """Of each candidate. The same for the same answers whichever candidate asks. Raises PairingError where one of them
    did not answer what the others did."""
    names = sorted(candidates)
    samples = [_sample(suite, base, candidates[name]) for name in names]
    found = dict(zip(names, joint.simultaneous(samples, BOUNDS), strict=True))
    adjusted = holm({name: _p(suite, base, candidates[name]) for name in names})
    pairs = _pairs(suite, candidates, names)
    return {
        name: Standing(
            Rank(name, _place(name, found), adjusted[name], found[name]),
            tuple(Versus(rival, pairs[name, rival]) for rival in names if rival != name),
        )
        for name in names
    }


def in_order(standings: Mapping[str, Standing]) -> tuple[Rank, ...]:
    """The first place first; those that share a place by their names."""
    return tuple(sorted((each.rank for each in standings.values()), key=lambda rank: (rank.rank, rank.name)))


def _sample(suite: model.Suite, base: Answers, tuned: Answers) -> inference.Sample:
    return overall_sample([pairing.pair_task(task, base, tuned) for task in suite.scored_tasks]).sample


def _p(suite: model.Suite, base: Answers, tuned: Answers) -> float:
    """That of the overall test, as the candidate's own verdict has it."""
    return inference.infer(_sample(suite, base, tuned), BOUNDS).p


def _place(name: str, found: Mapping[str, Interval]) -> int:
    mine = round(found[name].estimate, 12)
    return 1 + sum(round(each.estimate, 12) > mine for each in found.values())


def _pairs(
    suite: model.Suite, candidates: Mapping[str, Answers], names: Sequence[str]
) -> dict[tuple[str, str], Interval]:
    """Each against each, in both directions."""
    pairs = list(itertools.combinations(names, 2))
    if not pairs:
        return {}
    samples = [_sample(suite, candidates[other], candidates[one]) for one, other in pairs]
    found = dict(zip(pairs, joint.simultaneous(samples, BOUNDS), strict=True))
    return found | {(other, one): _mirrored(each) for (one, other), each in found.items()}


def _mirrored(interval: Interval) -> Interval:
    return Interval(-interval.estimate, -interval.high, -interval.low, interval.p)
