"""What a comparison found, in the words and decimals of the API."""

from __future__ import annotations

from finetune_api.comparison import (
    CandidateStatus,
    Cost,
    Effect,
    FlipCount,
    GateOutcome,
    PairwiseEffect,
    ParseFailures,
    PerplexityEffect,
    Ranking,
    Recipe,
    TaskEffect,
)
from finetune_trainer import figures
from finetune_trainer.statistics.ranking import Standing
from finetune_trainer.statistics.results import ComparisonResult, GateResult, PerplexityResult, TaskResult


def candidate_status(
    fine_tune_job: str, result: ComparisonResult, cost: Cost | None, flips: tuple[FlipCount, ...] = ()
) -> CandidateStatus:
    """Everything that the Comparison's status says of the candidate and the trainer knows."""
    return CandidateStatus(
        fine_tune_job=fine_tune_job,
        verdict=result.verdict,
        overall=Effect(**_effect(result.overall)),
        tasks=tuple(_task_effect(task) for task in result.tasks),
        perplexity=_perplexity_effect(result),
        gates=tuple(_gate_outcome(gate) for gate in result.gates),
        flips=flips,
        ranking=_ranking(result.standing),
        versus=_versus(result.standing),
        cost=cost,
    )


def recipe_status(result: ComparisonResult) -> Recipe | None:
    """What the candidates say together, where they are replicates."""
    recipe = result.recipe
    if recipe is None:
        return None
    return Recipe(
        seeds=recipe.seeds,
        delta=figures.difference(recipe.difference),
        lower=figures.difference(recipe.low),
        upper=figures.difference(recipe.high),
        spread=figures.score(recipe.spread),
        verdict=recipe.verdict,
        reason=recipe.reason,
    )


def _ranking(standing: Standing | None) -> Ranking | None:
    if standing is None:
        return None
    return Ranking(
        rank=standing.rank.rank,
        p_holm=figures.probability(standing.rank.p_holm),
        lower=figures.difference(standing.rank.interval.low),
        upper=figures.difference(standing.rank.interval.high),
    )


def _versus(standing: Standing | None) -> tuple[PairwiseEffect, ...]:
    return tuple(
        PairwiseEffect(
            candidate=each.rival,
            delta=figures.difference(each.interval.estimate),
            lower=figures.difference(each.interval.low),
            upper=figures.difference(each.interval.high),
        )
        for each in (standing.versus if standing is not None else ())
    )


def _effect(result: TaskResult) -> dict[str, object]:
    relative = result.relative_percent
    return {
        "n": result.examples,
        "groups": result.inference.groups,
        "base": figures.score(result.base),
        "tuned": figures.score(result.tuned),
        "delta": figures.difference(result.difference),
        "delta_percent": None if relative is None else figures.percent(relative),
        "lower": figures.difference(result.inference.low),
        "upper": figures.difference(result.inference.high),
        "p": figures.probability(result.inference.p),
        "verdict": result.verdict,
        "reason": result.reason,
    }


def _task_effect(result: TaskResult) -> TaskEffect:
    p_holm = result.inference.p if result.p_holm is None else result.p_holm
    return TaskEffect(
        **_effect(result),
        name=result.name,
        title=result.title,
        p_holm=figures.probability(p_holm),
        parse_failures=ParseFailures(base=result.base_unparsable, tuned=result.tuned_unparsable),
        became_parsable=figures.difference(result.parse_split.became_parsable),
        became_right=figures.difference(result.parse_split.became_right),
    )


def _perplexity_effect(result: ComparisonResult) -> PerplexityEffect | None:
    """The guardrail that is nearest to being broken, should a suite have several."""
    if not result.guardrails:
        return None
    nearest = min(result.guardrails, key=lambda each: each.inference.low + each.margin)
    return _as_growth(nearest)


def _as_growth(result: PerplexityResult) -> PerplexityEffect:
    """The statistics count a gain as positive; here a positive difference means more nats, which is worse."""
    return PerplexityEffect(
        documents=result.documents,
        base=figures.score(result.base),
        tuned=figures.score(result.tuned),
        delta=figures.difference(-result.inference.estimate),
        lower=figures.bound(-result.inference.high),
        upper=figures.bound(-result.inference.low),
    )


def _gate_outcome(gate: GateResult) -> GateOutcome:
    return GateOutcome(
        gate=gate.gate,
        task=gate.task,
        passed=gate.passed,
        bound=figures.bound(gate.bound),
        limit=figures.difference(gate.limit),
    )
