"""What replicates, trainings that differ in their seed alone, say of their recipe.

Two things are drawn at random, and each has its interval: the examples of the suite, by flipping the signs of groups'
mean differences over the seeds, and the seeds, by Student's t over their differences (mean +/- t * s / sqrt(k), k - 1
degrees of freedom). The verdict rests on the outer ends of both.
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
from finetune_trainer.statistics.inference import Sample
from finetune_trainer.statistics.overall import overall_sample
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


def judge_recipe(suite: model.Suite, base: Answers, replicates: Mapping[str, Answers]) -> RecipeResult:
    """Of two to eight replicates. The same for the same answers, whichever replicate asks. Raises PairingError where
    one of them did not answer what the others did."""
    samples = [_sample(suite, base, replicates[name]) for name in sorted(replicates)]
    mean = samples[0].with_differences(np.mean([each.differences for each in samples], axis=0))
    over_examples = inference.infer(mean, _SCORE_BOUNDS)
    deltas = [float(np.average(each.differences, weights=each.weights)) for each in samples]
    low, high = seed_interval(deltas)
    low, high = max(min(low, over_examples.low), -1.0), min(max(high, over_examples.high), 1.0)
    finding = _judge(replace(over_examples, low=low, high=high), len(samples), suite.margin)
    return RecipeResult(
        seeds=len(samples),
        difference=float(np.mean(deltas)),
        low=low,
        high=high,
        spread=float(np.std(deltas, ddof=1)),
        verdict=finding.verdict,
        reason=finding.reason,
    )


def seed_interval(deltas: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of the mean over all seeds that there could be, from the differences of two to eight."""
    mean, deviation = float(np.mean(deltas)), float(np.std(deltas, ddof=1))
    reach = _STUDENT_T[len(deltas) - 2] * deviation / math.sqrt(len(deltas))
    return mean - reach, mean + reach


def _judge(found: inference.Inference, seeds: int, margin: float) -> verdict.Finding:
    if seeds < SEEDS_NEEDED:
        message = f"{seeds} seeds; it takes {SEEDS_NEEDED} or more to tell"
        return verdict.Finding(Verdict.INCONCLUSIVE, VerdictReason.INSUFFICIENT_DATA, message)
    unchanged = found.changed_groups == 0 and found.low == found.high == 0
    return verdict.judge(verdict.Evidence(unchanged, found, margin))


def _sample(suite: model.Suite, base: Answers, tuned: Answers) -> Sample:
    return overall_sample([pairing.pair_task(task, base, tuned) for task in suite.scored_tasks]).sample
