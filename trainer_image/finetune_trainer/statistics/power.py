"""The smallest difference that a comparison of this size would find in four cases of five.

The paired z test, (z(0.975) + z(0.8)) * sqrt(Var(d) / n), as in E. Miller, "Adding Error Bars to Evals"
(arXiv:2411.00640), section 5, solved for the difference. Scores of 0 and 1 that change in a share q of the examples
have Var(d) = q when the models are equal (Miettinen 1968; Connor 1987). With q = 0.2, 200 independent examples find 8.9
points and 2,400 find 2.6. Examples of one group are not independent: `design_effect` is 1 + (examples per group - 1)
times their intra-class correlation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

from finetune_trainer.suites import model

POWER = 0.8
CHANGED = 0.2

_ALPHA = 0.05


def minimum_detectable_effect(examples: float, changed: float = CHANGED, design_effect: float = 1.0) -> float:
    """The difference in score that is found with 80% power."""
    if examples <= 0:
        raise ValueError(f"examples: {examples} detect nothing; give at least one")
    normal = NormalDist()
    quantiles = normal.inv_cdf(1 - _ALPHA / 2) + normal.inv_cdf(POWER)
    return min(1.0, quantiles * math.sqrt(changed * design_effect / examples))


def weakest_task_effect(suite: model.LoadedSuite) -> float:
    """Of the scored task with the fewest examples: the others find smaller differences."""
    return minimum_detectable_effect(min(len(suite.examples[task.name]) for task in suite.suite.scored_tasks))


def overall_minimum_detectable_effect(
    suite: model.Suite, examples: Mapping[str, int], changed: float = CHANGED, design_effect: float = 1.0
) -> float:
    """The same for the weighted mean over the scored tasks, given the number of examples of each."""
    total = sum(task.weight for task in suite.scored_tasks)
    shares = {task.name: task.weight / total for task in suite.scored_tasks}
    effective_examples = 1 / sum(share**2 / examples[name] for name, share in shares.items())
    return minimum_detectable_effect(effective_examples, changed, design_effect)
