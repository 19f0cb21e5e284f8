"""Gates: what a candidate must reach before it may be used. Doubt fails them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from finetune_api.comparison import Gate, GateName
from finetune_api.verdicts import VerdictReason
from finetune_trainer.statistics import inference, readability
from finetune_trainer.statistics.overall import OverallSample
from finetune_trainer.statistics.results import GateResult, PerplexityResult, TaskResult
from finetune_trainer.suites import model


@dataclass(frozen=True)
class GatePolicy:
    """What is asked of the candidate. `must_not_regress` of None asks it for every task."""

    min_improvement_percent: Decimal | None = None
    must_not_regress: tuple[str, ...] | None = None
    max_perplexity_rise: Decimal | None = None
    """Nats per byte, in the place of the suite's margin."""
    max_parse_failure_percent: Decimal | None = None
    retention: str | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("minImprovementPercent", self.min_improvement_percent),
            ("maxPerplexityRise", self.max_perplexity_rise),
            ("maxParseFailurePercent", self.max_parse_failure_percent),
        ):
            if value is not None and (not value.is_finite() or value < 0):
                raise ValueError(f"gate.{name}: {value} is not a limit; give 0 or more")

    @classmethod
    def of(cls, gate: Gate) -> GatePolicy:
        """As a Comparison's spec asks for it."""
        return cls(
            _decimal(gate.min_improvement_percent),
            gate.must_not_regress,
            _decimal(gate.max_perplexity_rise),
            _decimal(gate.max_parse_failure_percent),
            gate.retention,
        )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


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
    return GateResult(GateName.MIN_IMPROVEMENT, GateName.MIN_IMPROVEMENT, None, passed, bound, limit, message)


def must_not_regress(
    suite: model.Suite, result: TaskResult | PerplexityResult, gate: GateName = GateName.MUST_NOT_REGRESS
) -> GateResult:
    """Whether the task surely lost no more than the margin; the interval is the unadjusted one."""
    limit = -(result.margin if isinstance(result, PerplexityResult) else suite.margin)
    passed, message = _is_kept(result, limit)
    return GateResult(gate, f"{gate}: {result.name}", result.name, passed, result.inference.low, limit, message)


def _is_kept(result: TaskResult | PerplexityResult, limit: float) -> tuple[bool, str]:
    if result.reason is VerdictReason.IDENTICAL:
        return True, result.message
    if not result.inference.is_sufficient:
        return False, f"too little data to tell: {result.message}"
    passed = result.inference.low > limit
    word = "above" if passed else "not above"
    return passed, f"the lower end of the 95% interval, {result.inference.low:+.3f}, is {word} {limit:g}"


def perplexity_rise(limit: Decimal, result: PerplexityResult) -> GateResult:
    """Whether the held-out text is surely predicted worse by no more than the limit: the upper end decides."""
    passed, message = _is_kept(result, -float(limit))
    name = f"{GateName.MAX_PERPLEXITY_RISE}: {result.name}"
    if result.inference.is_sufficient and result.reason is not VerdictReason.IDENTICAL:
        word = "below" if passed else "not below"
        message = f"the upper end of the 95% interval, {-result.inference.low:+.3f} nats per byte, is {word} {limit}"
    gate = GateName.MAX_PERPLEXITY_RISE
    return GateResult(gate, name, result.name, passed, -result.inference.low, float(limit), message)


def parse_failures(limit: Decimal, sample: OverallSample) -> GateResult:
    """Whether the answers, over all scored tasks, are surely unreadable no more often than that many percent."""
    found = readability.unreadable_share(~sample.tuned_parsed, sample.sample.groups)
    bound = 100 * found.high
    passed = bound <= limit
    word = "not above" if passed else "above"
    message = (
        f"{100 * found.share:.1f}% of the answers cannot be read; the upper end of the 95% interval, {bound:.1f}%, is "
        f"{word} {limit}%"
    )
    gate = GateName.MAX_PARSE_FAILURES
    return GateResult(gate, gate, None, passed, bound, float(limit), message)


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
    for name in _kept_tasks(policy, results):
        yield must_not_regress(suite, by_name[suite.task(name).name])
    if policy.max_perplexity_rise is not None:
        for result in results:
            if isinstance(result, PerplexityResult):
                yield perplexity_rise(policy.max_perplexity_rise, result)
    if policy.max_parse_failure_percent is not None:
        yield parse_failures(policy.max_parse_failure_percent, sample)
    if policy.retention is not None:
        yield must_not_regress(suite, by_name[suite.task(policy.retention).name], GateName.RETENTION)


def _kept_tasks(policy: GatePolicy, results: Sequence[TaskResult | PerplexityResult]) -> tuple[str, ...]:
    """Every task when none is named, but for those that another gate judges."""
    if policy.must_not_regress is not None:
        return policy.must_not_regress
    elsewhere = policy.max_perplexity_rise is not None
    return tuple(
        result.name
        for result in results
        if result.name != policy.retention and not (elsewhere and isinstance(result, PerplexityResult))
    )


def _low_over(sample: OverallSample, share: float) -> float:
    gains = sample.tuned - (1 + share) * sample.base
    return inference.infer(sample.sample.with_differences(gains), (-(1 + share), 1.0)).low
