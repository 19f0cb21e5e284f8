"""The comparison as the terminal shows it."""

from __future__ import annotations

from finetune_trainer import figures
from finetune_trainer.report import wording
from finetune_trainer.report.findings import Findings
from finetune_trainer.statistics.results import TaskResult

_HEADER = ("", "base", "fine-tuned", "delta", "95% interval", "p (Holm)", "n")
_FOOTNOTE = (
    "p of the tasks is adjusted for their number (Holm); the overall score is the one primary test, and its p is not"
)


def as_table(findings: Findings) -> str:
    """A row a task and one for the overall score, then the verdict with its reason."""
    result = findings.result
    rows = [_HEADER, *(_row(each) for each in (*result.tasks, result.overall))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    verdict = f"verdict {result.verdict} ({result.reason}): {wording.headline(findings)}"
    return "\n".join([*lines, _FOOTNOTE, *filter(None, (verdict, wording.doubt(result)))]) + "\n"


def _row(result: TaskResult) -> tuple[str, ...]:
    relative = result.relative_percent
    percent = "" if relative is None else f" ({figures.percent(relative)}%)"
    return (
        _printable(result.title),
        figures.score(result.base),
        figures.score(result.tuned),
        figures.difference(result.difference) + percent,
        figures.interval(result.inference.low, result.inference.high, decimals=4).replace(", ", ","),
        figures.probability(result.inference.p if result.p_holm is None else result.p_holm),
        str(result.examples),
    )


def _printable(title: str) -> str:
    """A title comes from a file, and must not steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in title)
