"""What replicates, trainings that differ in their seed alone, say of their recipe.

Two things are drawn at random, and each has its interval: the examples of the suite, by flipping the signs of groups'
mean differences over the seeds, and the seeds, by Student's t over their differences (mean +/- t * s / sqrt(k), k - 1
degrees of freedom). Each leaves out what the other one is about, so the verdict rests on both together: each end is as
far from the mean as the root of the sum of both squares. The wider of the two alone is too narrow where they are alike,
as tests/calibration shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from finetune_api.comparison import SEEDS_NEEDED
from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.statistics import inference, pairing, verdict
from finetune_trainer.statistics.holm import holm
from finetune_trainer.statistics.inference import Inference, Sample
from finetune_trainer.statistics.overall import overall_sample
from finetune_trainer.statistics.pairing import PairedTask
from finetune_trainer.suites import model

_SCORE_BOUNDS = (-1.0, 1.0)
_STUDENT_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646)
"""The two-sided 95% quantiles of Student's t with 1 to 7 degrees of freedom."""

Answers = Sequence[ScoredPrediction]


@dataclass(frozen=True)
class RecipeResult:
    """The mean over the seeds of the overall difference from the baseline, with what surrounds it."""

    seeds: int
    difference: float
    low: float
    high: float
    spread: float
    """Standard deviation of the difference between seeds."""
    verdict: Verdict
    reason: VerdictReason
    message: str


def judge_recipe(suite: model.Suite, base: Answers, replicates: Mapping[str, Answers]) -> RecipeResult:
    """Of two to eight replicates. The same for the same answers, whichever replicate asks. Raises PairingError where
    one of them did not answer what the others did."""
    pairs = [_pairs(suite, base, replicates[name]) for name in sorted(replicates)]
    samples = [overall_sample(each).sample for each in pairs]
    over_examples = inference.infer(_mean(samples), _SCORE_BOUNDS)
    deltas = [float(np.average(each.differences, weights=each.weights)) for each in samples]
    low, high = over_both(deltas, over_examples.low, over_examples.high)
    regressed = _regressed_tasks(pairs, suite.margin)
    finding = _judge(replace(over_examples, low=low, high=high), len(samples), suite.margin, regressed)
    return RecipeResult(
        seeds=len(samples),
        difference=float(np.mean(deltas)),
        low=low,
        high=high,
        spread=float(np.std(deltas, ddof=1)),
        verdict=finding.verdict,
        reason=finding.reason,
        message=finding.message,
    )


def over_both(deltas: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """The 95% interval over seeds and examples, from the seeds' differences and the interval over examples."""
    mean = float(np.mean(deltas))
    seeds_low, seeds_high = seed_interval(deltas)
    low, high = mean - math.hypot(mean - low, mean - seeds_low), mean + math.hypot(high - mean, seeds_high - mean)
    return max(low, _SCORE_BOUNDS[0]), min(high, _SCORE_BOUNDS[1])


def seed_interval(deltas: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of the mean over all seeds that there could be, from the differences of two to eight."""
    mean, deviation = float(np.mean(deltas)), float(np.std(deltas, ddof=1))
    reach = _STUDENT_T[len(deltas) - 2] * deviation / math.sqrt(len(deltas))
    return mean - reach, mean + reach


def _judge(found: Inference, seeds: int, margin: float, regressed: tuple[str, ...]) -> verdict.Finding:
    if seeds < SEEDS_NEEDED:
        message = f"{seeds} seeds; it takes {SEEDS_NEEDED} or more to tell"
        return verdict.Finding(Verdict.INCONCLUSIVE, VerdictReason.INSUFFICIENT_DATA, message)
    unchanged = found.changed_groups == 0 and found.low == found.high == 0
    return verdict.judge(verdict.Evidence(unchanged, found, margin, regressed_tasks=regressed))


def _regressed_tasks(pairs: Sequence[Sequence[PairedTask]], margin: float) -> tuple[str, ...]:
    """Titles of the tasks at which the mean over the seeds is worse, among all tasks (Holm)."""
    by_task = [(each[0].task, _mean([pair.sample() for pair in each])) for each in zip(*pairs, strict=True)]
    found = {task.name: inference.infer(sample, _SCORE_BOUNDS) for task, sample in by_task}
    adjusted = holm({name: each.p for name, each in found.items()})
    evidence = {name: verdict.Evidence(False, each, margin, adjusted[name]) for name, each in found.items()}
    return tuple(task.title for task, _ in by_task if verdict.judge(evidence[task.name]).verdict is Verdict.REGRESSED)


def _mean(samples: Sequence[Sample]) -> Sample:
    """The same examples, with the mean over the seeds of their differences."""
    return samples[0].with_differences(np.mean([each.differences for each in samples], axis=0))


def _pairs(suite: model.Suite, base: Answers, tuned: Answers) -> list[PairedTask]:
    return [pairing.pair_task(task, base, tuned) for task in suite.scored_tasks]
