"""Several candidates in the report: their order, each against this one, and what replicates say of their recipe."""

from __future__ import annotations

from dataclasses import dataclass

from finetune_api.comparison import SEEDS_NEEDED
from finetune_trainer import figures
from finetune_trainer.report.markdown import bullets, escaped, table
from finetune_trainer.statistics.joint import Interval
from finetune_trainer.statistics.recipe import RecipeResult
from finetune_trainer.statistics.results import ComparisonResult

RANKING_HEADINGS = ("candidate", "place", "overall", "delta", "simultaneous 95% interval", "p (Holm)")
VERSUS_HEADINGS = ("other candidate", "delta", "simultaneous 95% interval", "in a word")
RANKING_NOTE = (
    "Overall score less the baseline's. The intervals hold for all candidates at once (max-t, from the same flips for "
    "all), and p is adjusted for their number (Holm), since the best of several equal ones looks better than it is. "
    "The overall verdict needs that p to be below 0.05, too."
)
VERSUS_NOTE = "This candidate's overall score less the other's, with intervals that hold for all pairs at once."


@dataclass(frozen=True)
class Place:
    """One of the candidates."""

    name: str
    is_this: bool
    place: str
    overall: str
    delta: str
    interval: str
    p: str

    @property
    def cells(self) -> tuple[str, ...]:
        name = f"**{escaped(self.name)}**" if self.is_this else escaped(self.name)
        return (name, self.place, self.overall, self.delta, self.interval, self.p)


@dataclass(frozen=True)
class Rival:
    """This candidate against another one."""

    name: str
    delta: str
    interval: str
    word: str

    @property
    def cells(self) -> tuple[str, ...]:
        return (escaped(self.name), self.delta, self.interval, self.word)


@dataclass(frozen=True)
class RecipeFact:
    """One figure of the recipe."""

    name: str
    value: str


def places(result: ComparisonResult) -> tuple[Place, ...]:
    """The first one first; none where there is one candidate."""
    this = None if result.standing is None else result.standing.rank.name
    return tuple(
        Place(
            name=rank.name,
            is_this=rank.name == this,
            place=str(rank.rank),
            overall=f"{result.overall.base + rank.interval.estimate:.3f}",
            delta=f"{rank.interval.estimate:+.3f}",
            interval=figures.interval(rank.interval.low, rank.interval.high),
            p=figures.probability(rank.p_holm),
        )
        for rank in result.ranking
    )


def rivals(result: ComparisonResult) -> tuple[Rival, ...]:
    """Each other candidate, in the order of their places."""
    if result.standing is None:
        return ()
    found = {each.rival: each.interval for each in result.standing.versus}
    return tuple(_rival(rank.name, found[rank.name]) for rank in result.ranking if rank.name in found)


def place_in_a_word(result: ComparisonResult) -> str | None:
    if result.standing is None:
        return None
    return f"place {result.standing.rank.rank} of {len(result.ranking)} candidates"


def recipe_sentence(recipe: RecipeResult) -> str:
    """The verdict on the recipe, and why it is this word."""
    needed = "" if recipe.seeds >= SEEDS_NEEDED else f" Whether a recipe is better takes {SEEDS_NEEDED} seeds or more."
    return f"The recipe, over {recipe.seeds} seeds: {recipe.verdict} ({recipe.message}).{needed}"


def recipe_facts(recipe: RecipeResult | None) -> tuple[RecipeFact, ...]:
    if recipe is None:
        return ()
    return (
        RecipeFact("seeds", str(recipe.seeds)),
        RecipeFact("mean delta", f"{recipe.difference:+.3f}"),
        RecipeFact("95% interval", figures.interval(recipe.low, recipe.high)),
        RecipeFact("standard deviation between seeds", f"{recipe.spread:.3f}"),
    )


def as_markdown(result: ComparisonResult) -> str:
    """The recipe, the ranking and each against this one; empty where there is one candidate."""
    recipe = result.recipe
    parts = [
        "" if recipe is None else escaped(recipe_sentence(recipe)),
        bullets(f"{fact.name}: {fact.value}" for fact in recipe_facts(recipe)),
        table(RANKING_HEADINGS, [each.cells for each in places(result)]),
        table(VERSUS_HEADINGS, [each.cells for each in rivals(result)], words=frozenset({3})),
    ]
    return "\n\n".join(filter(None, parts))


def _rival(name: str, interval: Interval) -> Rival:
    return Rival(
        name=name,
        delta=f"{interval.estimate:+.3f}",
        interval=figures.interval(interval.low, interval.high),
        word="better" if interval.low > 0 else "worse" if interval.high < 0 else "not told apart",
    )
