"""The table of a comparison, as the page, Markdown and the terminal show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_api.comparison import FlipCount
from finetune_trainer import figures
from finetune_trainer.report.markdown import escaped, table
from finetune_trainer.statistics.results import ComparisonResult, TaskResult

_HEADINGS = ("task", "base", "fine-tuned", "delta", "95% interval", "p (Holm)", "n", "verdict")


@dataclass(frozen=True)
class Line:
    """One task, or the overall score."""

    title: str
    base: str
    tuned: str
    delta: str
    interval: str
    p: str
    n: int
    verdict: str
    is_overall: bool

    @property
    def cells(self) -> tuple[str, ...]:
        return (self.title, self.base, self.tuned, self.delta, self.interval, self.p, str(self.n), self.verdict)


def lines(result: ComparisonResult) -> tuple[Line, ...]:
    """The tasks, then the overall score."""
    return (*(_line(task) for task in result.tasks), _line(result.overall, is_overall=True))


def markdown(result: ComparisonResult) -> str:
    """The table as Markdown."""
    rows = [[escaped(cell) for cell in line.cells] for line in lines(result)]
    return table(_HEADINGS, rows, words=frozenset({len(_HEADINGS) - 1}))


def causes_markdown(counts: Sequence[FlipCount]) -> str:
    """How many answers changed, by the cause of the wrong one; empty where none did."""
    rows = [(each.cause, str(each.improved), str(each.regressed)) for each in counts]
    return table(("cause of the wrong answer", "became better", "became worse"), rows)


def _line(result: TaskResult, *, is_overall: bool = False) -> Line:
    relative = result.relative_percent
    found = result.inference
    return Line(
        title=result.title,
        base=f"{result.base:.3f}",
        tuned=f"{result.tuned:.3f}",
        delta=f"{result.difference:+.3f} ({'n/a' if relative is None else figures.percent(relative) + '%'})",
        interval=f"[{found.low:+.3f}, {found.high:+.3f}]",
        # The overall test is the one primary test: nothing to adjust it for.
        p=figures.probability(found.p if result.p_holm is None else result.p_holm),
        n=result.examples,
        verdict=result.verdict,
        is_overall=is_overall,
    )
