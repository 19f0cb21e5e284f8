"""Writes docs/calibration.md: how often each verdict is said where the truth is known, over the whole grid.

    PYTHONPATH=operator:trainer_image:tests/calibration python tests/calibration/__main__.py [docs/calibration.md]

With 8,000 trials, a rate of 2.5% has a standard error of 0.17 points, so that 3.2% is four of them away; with the 4,000
of recipes it is nearly three.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from finetune_trainer.statistics import power
from known_truth import MARGIN, PER_GROUP, Cell, Dependence, Rates, simulate
from recipe_truth import SHARED, RecipeCell, simulate_recipe

TRIALS, RECIPE_TRIALS = 8_000, 4_000
SEEDS, SPREADS = (5, 8), (0.0, 0.015, 0.03)
CORRELATIONS, GROUPS, CHURN = (0.0, 0.3), (20, 40, 80), (0.02, 0.2)
MOST_WRONG, MOST_WRONG_BOTH, LEAST_COVERAGE, LEAST_POWER = 0.032, 0.060, 0.925, 0.80
FEWEST_TOLD = 200
"""Coverage is judged where at least so many trials told anything."""


def grid(dependence: Dependence) -> Iterator[Cell]:
    axes = itertools.product(CORRELATIONS, GROUPS, (False, True), CHURN, (0.0, MARGIN))
    return (Cell(*point, dependence=dependence) for point in axes)


def effect_cells(dependence: Dependence) -> Iterator[Cell]:
    """At the printed effect, 20% of the answers change in all, or as many as the effect takes."""
    for correlation, groups, skewed in itertools.product(CORRELATIONS, GROUPS, (False, True)):
        cell = Cell(correlation, groups, skewed, 0.0, 0.0, dependence)
        effect = power.effect_of_groups([int(size) for size in cell.sizes])
        yield replace(cell, difference=effect, churn=max(0.0, power.CHANGED - effect))


def recipe_grid() -> Iterator[RecipeCell]:
    axes = itertools.product(SEEDS, SPREADS, CORRELATIONS, GROUPS, (False, True), CHURN, (0.0, MARGIN))
    for seeds, spread, *point in axes:
        cell = Cell(*point)
        if cell.groups > min(GROUPS) or not cell.skewed:  # of the others nothing is told, as above
            yield RecipeCell(cell, seeds, spread)


def faults(cell: Cell, found: Rates) -> list[str]:
    """What breaks a limit."""
    wrong = (found.improved, found.regressed) if cell.difference == 0 else (found.regressed,)
    limits = {
        "wrong direction": max(wrong) > MOST_WRONG,
        "wrong": sum(wrong) > MOST_WRONG_BOTH,
        "coverage": found.coverage is not None
        and found.told * TRIALS >= FEWEST_TOLD
        and found.coverage < LEAST_COVERAGE,
        "NoDifference": cell.difference > 0 and found.no_difference > MOST_WRONG,
    }
    return [name for name, broken in limits.items() if broken]


def table(cells: Iterable[Cell], judge_power: bool = False) -> tuple[str, int]:
    """Markdown, and how many cells break a limit."""
    lines = [
        "| correlation | groups | sizes | churn | difference | told | Improved | Regressed | NoDifference | coverage "
        "| breaks |",
        "| ---: " * 10 + "| --- |",
    ]
    broken = 0
    for number, cell in enumerate(cells):
        found = simulate(cell, TRIALS, seed=number)
        names = faults(cell, found)
        if judge_power and found.told and found.improved < LEAST_POWER:
            names.append("power")
        broken += bool(names)
        lines.append(_row(cell, found, names))
    return "\n".join(lines), broken


def recipe_table() -> tuple[str, int]:
    """The same of recipes."""
    lines = [
        "| seeds | spread | correlation | groups | sizes | churn | difference | told | Improved | Regressed "
        "| NoDifference | coverage | breaks |",
        "| ---: " * 12 + "| --- |",
    ]
    broken = 0
    for number, point in enumerate(recipe_grid()):
        found = simulate_recipe(point, RECIPE_TRIALS, seed=number)
        names = faults(point.cell, found)
        broken += bool(names)
        lines.append(f"| {point.seeds} | {point.spread:.3f} {_row(point.cell, found, names)}")
    return "\n".join(lines), broken


def _row(cell: Cell, found: Rates, names: list[str]) -> str:
    coverage = "" if found.coverage is None else f"{found.coverage:.1%}"
    shares = (found.told, found.improved, found.regressed, found.no_difference)
    cells = (
        f"{cell.correlation:g}",
        str(cell.groups),
        "skewed" if cell.skewed else "equal",
        f"{cell.churn:.1%}",
        f"{cell.difference:.3f}",
        *(f"{share:.1%}" for share in shares),
        coverage,
        ", ".join(names),
    )
    return f"| {' | '.join(cells)} |"


INTRODUCTION = f"""# How often a verdict is wrong

Written by `tests/calibration`; the simulation is described there. Each cell has {TRIALS:,} simulated comparisons of
one task with {PER_GROUP} examples a group on average and a margin of {MARGIN:g}. *Churn* is the share of answers that
change for no reason; a true difference adds gains. *Told* is the share that was not InsufficientData; coverage is
that of the 95% interval among these. Limits: each wrong direction at most {MOST_WRONG:.1%}, both at most
{MOST_WRONG_BOTH:.1%}, coverage at least {LEAST_COVERAGE:.1%}, NoDifference at a true difference of the margin at most
{MOST_WRONG:.1%}, Improved at the printed effect at least {LEAST_POWER:.0%}. Twenty groups of skewed sizes are fewer
than 20 effective groups: nothing is told of them.
"""
WHOLE = """The harshest case: a group of 15 may turn over as one. Where this is rare (churn of 2%), most data hold no
such group, and nothing in them tells that there are any: a true gain that sits in one group of thirty is missed by
every method that looks at these data alone. Equal models are not told apart more often than they may be, here either.
"""
RECIPES = f"""The verdict on replicates, which differ in their seed alone: {RECIPE_TRIALS:,} simulated comparisons
a cell. *Spread* is the standard deviation of the true difference between seeds; an answer changes alike in all seeds
in {SHARED:.0%} of the cases. The interval is that over examples and that over seeds together. The wider one of the two,
where they are about alike, covers the truth in as few as 89% of the cases with eight seeds.
"""


def main(path: Path) -> int:
    direction, first = table(grid(Dependence.DIRECTION))
    whole, _ = table(grid(Dependence.WHOLE))
    detected, second = table(itertools.chain(*map(effect_cells, Dependence)), judge_power=True)
    recipes, third = recipe_table()
    text = (
        f"{INTRODUCTION}\n## Direction alike within a group\n\n{direction}\n\n"
        f"## At the printed minimum detectable effect\n\nFirst with alike directions, then with alike differences.\n\n"
        f"{detected}\n\n## Recipes\n\n{RECIPES}\n{recipes}\n\n## Whole groups alike\n\n{WHOLE}\n{whole}\n"
    )
    path.write_text(text)
    broken = first + second + third
    print(f"{broken} cells break a limit")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/calibration.md")))
