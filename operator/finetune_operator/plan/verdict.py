"""What a finished comparison is told as: a line for the columns, a sentence for people."""

from decimal import Decimal

from finetune_api.comparison import SEEDS_NEEDED, CandidateStatus, Recipe
from finetune_api.runs import Summary
from finetune_api.verdicts import Verdict, VerdictReason


def summary(candidate: CandidateStatus) -> Summary:
    overall = candidate.overall
    if overall is None:
        return Summary(verdict=candidate.verdict)
    return Summary(base=overall.base, tuned=overall.tuned, delta=overall.delta, verdict=candidate.verdict)


def passed(candidate: CandidateStatus) -> bool:
    return all(gate.passed for gate in candidate.gates)


def best(candidates: tuple[CandidateStatus, ...]) -> CandidateStatus:
    """The first by rank; of those that share it, the one that the spec names first."""
    return min(candidates, key=lambda item: item.ranking.rank if item.ranking is not None else 1)


def summary_of_recipe(candidates: tuple[CandidateStatus, ...], recipe: Recipe) -> Summary:
    """The mean over the seeds."""
    scores = [candidate.overall for candidate in candidates if candidate.overall is not None]
    tuned = sum(Decimal(score.tuned) for score in scores) / len(scores)
    return Summary(base=scores[0].base, tuned=f"{tuned:.4f}", delta=recipe.delta, verdict=recipe.verdict)


def sentence_of_recipe(recipe: Recipe) -> str:
    words = (
        f"The recipe, over {recipe.seeds} seeds: {recipe.verdict.value} (delta {recipe.delta}, 95% interval "
        f"{recipe.lower} to {recipe.upper}, standard deviation between seeds {recipe.spread})."
    )
    needed = f" It takes {SEEDS_NEEDED} seeds or more to say that a recipe is better."
    return words + (needed if recipe.seeds < SEEDS_NEEDED else "")


def sentences(candidates: tuple[CandidateStatus, ...], recipe: Recipe | None = None) -> str:
    """The recipe, then the best candidate first, by name where there are several."""
    if recipe is not None:
        return f"{sentence_of_recipe(recipe)} {sentences(candidates)}"
    if len(candidates) == 1:
        return sentence(candidates[0])
    first = best(candidates)
    others = (sentence(item) for item in candidates if item is not first)
    return " ".join((f"Best of {len(candidates)}: {first.fine_tune_job}.", sentence(first), *others))


def sentence(candidate: CandidateStatus) -> str:
    verdict = candidate.verdict or Verdict.INCONCLUSIVE
    words = f"{candidate.fine_tune_job} against its baseline: {verdict.value}"
    if candidate.overall is not None:
        overall = candidate.overall
        words += f" ({overall.base} to {overall.tuned}, 95% interval {overall.lower} to {overall.upper})"
        if overall.reason is VerdictReason.TASK_REGRESSED:
            regressed = [task.title for task in candidate.tasks if task.verdict is Verdict.REGRESSED]
            words += f", better overall, but worse at {', '.join(regressed)}"
    failed = [gate.gate.value + (f" {gate.task}" if gate.task else "") for gate in candidate.gates if not gate.passed]
    return f"{words}. Gates not passed: {', '.join(failed)}." if failed else f"{words}."
