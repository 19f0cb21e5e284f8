"""The smallest difference that a comparison of this size would find in four cases of five.

The paired test, (t(0.975) + t(0.8)) * sqrt(Var(d) / n), as in E. Miller, "Adding Error Bars to Evals"
(arXiv:2411.00640), section 5, solved for the difference. Scores of 0 and 1 that change in a share q of the examples
have Var(d) = q when the models are equal (Miettinen 1968; Connor 1987); a difference takes at least as many changes.
With q = 0.2, 200 independent examples find 8.9 points and 2,400 find 2.6.

Examples of one group are not independent: they count for less by the design effect, 1 + (mean size of an example's
group - 1) * intra-class correlation (Kish 1965). The correlation is not known before both models have answered, so the
highest that the inference was calibrated at is supposed. With few groups Student's t takes the normal's place, for
flipping signs of few groups rejects as the t test does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import NormalDist

from finetune_trainer.statistics.least_groups import MINIMUM_EFFECTIVE_GROUPS
from finetune_trainer.suites import model

POWER = 0.8
CHANGED = 0.2
CORRELATION = 0.3
"""Supposed between the differences of one group's examples."""

_ALPHA = 0.05


def minimum_detectable_effect(
    examples: float, changed: float = CHANGED, design_effect: float = 1.0, groups: float = math.inf
) -> float:
    """The difference in score that is found with 80% power. `groups` are the effective ones."""
    if examples <= 0:
        raise ValueError(f"examples: {examples} detect nothing; give at least one")
    quantiles = _quantile(1 - _ALPHA / 2, groups - 1) + _quantile(POWER, groups - 1)
    share = quantiles**2 * design_effect / examples
    return min(1.0, max(math.sqrt(share * changed), share if share > changed else 0.0))


def _quantile(probability: float, freedom: float) -> float:
    """Student's t, by its expansion around the normal quantile (Cornish and Fisher; Abramowitz and Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(probability)
    freedom = max(freedom, 1.0)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def effect_of_groups(sizes: Sequence[float], changed: float = CHANGED) -> float:
    """The same from each group's number of examples. All of the scale, 1, where there are too few groups to tell
    anything."""
    total, squares = sum(sizes), sum(size**2 for size in sizes)
    if total**2 / squares < MINIMUM_EFFECTIVE_GROUPS:
        return 1.0
    design_effect = 1 + (squares / total - 1) * CORRELATION
    return minimum_detectable_effect(total, changed, design_effect, groups=total**2 / squares)


def task_effect(examples: Iterable[model.Example]) -> float:
    """Of one task, by company or by sentence pattern, whichever leaves more doubt."""
    known = tuple(examples)
    by_group = Counter(each.group for each in known)
    by_pattern = Counter(f"group {each.group}" if each.pattern is None else each.pattern for each in known)
    has_patterns = any(each.pattern is not None for each in known)
    groupings = (by_group, by_pattern) if has_patterns else (by_group,)
    return max(effect_of_groups(tuple(counted.values())) for counted in groupings)


def weakest_task_effect(suite: model.LoadedSuite) -> float:
    """Of the scored task that finds only the largest differences."""
    return max(task_effect(suite.examples[task.name]) for task in suite.suite.scored_tasks)


def overall_effect(suite: model.LoadedSuite) -> float:
    """Of the weighted mean over the scored tasks. The examples of a group hang together over all tasks."""
    own, shared = 0.0, Counter[str]()
    total = sum(task.weight for task in suite.suite.scored_tasks)
    for task in suite.suite.scored_tasks:
        examples = suite.examples[task.name]
        weight = task.weight / total / len(examples)
        own += weight**2 * len(examples)
        for group, count in Counter(each.group for each in examples).items():
            shared[group] += weight * count  # type: ignore[assignment]
    groups = 1 / sum(weight**2 for weight in shared.values())
    if groups < MINIMUM_EFFECTIVE_GROUPS:
        return 1.0
    # Var(sum of w * d) over Var(d): each example with itself, and a part with the others of its group.
    variance = own + CORRELATION * (1 / groups - own)
    return minimum_detectable_effect(1 / variance, groups=groups)
