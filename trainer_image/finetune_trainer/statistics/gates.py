"""Gates: what a candidate must reach before it may be used. Doubt fails them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from finetune_api.verdicts import VerdictReason
from finetune_trainer.statistics import inference
from finetune_trainer.statistics.overall import OverallSample
from finetune_trainer.statistics.results import GateResult, PerplexityResult, TaskResult
from finetune_trainer.suites import model

MINIMUM_IMPROVEMENT = "minImprovementPercent"
MUST_NOT_REGRESS = "mustNotRegress"


@dataclass(frozen=True)
class GatePolicy:
    """What is asked of the candidate. `must_not_regress` of None asks it for every task."""

    min_improvement_percent: Decimal | None = None
    must_not_regress: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        percent = self.min_improvement_percent
        if percent is not None and (not percent.is_finite() or percent < 0):
            raise ValueError(f"gate.minImprovementPercent: {percent} is not a percentage; give 0 or more")


def minimum_improvement(percent: Decimal, sample: OverallSample, overall: TaskResult) -> GateResult:
    """Whether the tuned score is surely more than that many percent above the base's."""
    share = float(percent) / 100
    if overall.base == 0:
        bound, limit, unit = overall.inference.low, share, "points, as the base scores 0 and has no percentage"
    else:
        bound, limit, unit = _low_over(sample, share), 0.0, "percent"
    passed = overall.inference.is_sufficient and bound > limit
    word = "above" if bound > limit else "not above"
    message = f"the lower end of the 95% interval is {word} an improvement of {percent} {unit}"
    if overall.reason is VerdictReason.IDENTICAL:
        message = f"no improvement: {overall.message}"
    elif not overall.inference.is_sufficient:
        message = f"too little data to tell: {overall.message}"
    return GateResult(MINIMUM_IMPROVEMENT, None, passed, bound, limit, message)


def must_not_regress(suite: model.Suite, result: TaskResult | PerplexityResult) -> GateResult:
    """Whether the task surely lost no more than the margin; the interval is the unadjusted one."""
    limit = -(result.margin if isinstance(result, PerplexityResult) else suite.margin)
    passed, message = _is_kept(result, limit)
    name = f"{MUST_NOT_REGRESS}: {result.name}"
    return GateResult(name, result.name, passed, result.inference.low, limit, message)


def _is_kept(result: TaskResult | PerplexityResult, limit: float) -> tuple[bool, str]:
    if result.reason is VerdictReason.IDENTICAL:
        return True, result.message
    if not result.inference.is_sufficient:
        return False, f"too little data to tell: {result.message}"
    passed = result.inference.low > limit
    word = "above" if passed else "not above"
    return passed, f"the lower end of the 95% interval, {result.inference.low:+.3f}, is {word} {limit:g}"


def judge_gates(
    suite: model.Suite,
    policy: GatePolicy,
    sample: OverallSample,
    overall: TaskResult,
    results: Sequence[TaskResult | PerplexityResult],
) -> Iterator[GateResult]:
    """Every gate that the policy asks for."""
    if policy.min_improvement_percent is not None:
        yield minimum_improvement(policy.min_improvement_percent, sample, overall)
    by_name = {result.name: result for result in results}
    named = tuple(by_name) if policy.must_not_regress is None else policy.must_not_regress
    for name in named:
        yield must_not_regress(suite, by_name[suite.task(name).name])


def _low_over(sample: OverallSample, share: float) -> float:
    gains = sample.tuned - (1 + share) * sample.base
    return inference.infer(sample.sample.with_differences(gains), (-(1 + share), 1.0)).low
