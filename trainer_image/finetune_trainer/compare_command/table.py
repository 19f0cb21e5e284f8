"""The comparison as the terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_trainer import figures
from finetune_trainer.report import several, wording
from finetune_trainer.report.findings import Findings
from finetune_trainer.statistics.results import ComparisonResult, TaskResult

_HEADER = ("", "base", "fine-tuned", "delta", "95% interval", "p (Holm)", "n")
_FOOTNOTE = (
    "p of the tasks is adjusted for their number (Holm); the overall score is the one primary test, and its p is not"
)
_FOOTNOTE_OF_SEVERAL = (
    "p is adjusted for the number of tasks, that of the overall scores for the number of candidates (Holm); "
    "simultaneous intervals hold for all candidates, or all pairs, at once"
)

Row = tuple[str, ...]


def as_tables(found: Sequence[Findings]) -> str:
    """Of one candidate its table; of several their order and their pairs, then the table of each."""
    if len(found) == 1:
        return as_table(found[0])
    parts = [_aligned(_ranking(found[0].result)), _aligned(_pairs(found)), _FOOTNOTE_OF_SEVERAL]
    parts += [f"\n{_printable(each.comparison)}\n{_table(each)}\n{_verdict(each)}" for each in found]
    return "\n".join(parts) + "\n"


def as_table(findings: Findings) -> str:
    """A row a task and one for the overall score, then the verdict with its reason."""
    return "\n".join([_table(findings), _FOOTNOTE, _verdict(findings)]) + "\n"


def _table(findings: Findings) -> str:
    result = findings.result
    return _aligned([_HEADER, *(_row(each) for each in (*result.tasks, result.overall))])


def _verdict(findings: Findings) -> str:
    result = findings.result
    verdict = f"verdict {result.verdict} ({result.reason}): {_printable(wording.headline(findings))}"
    return "\n".join(filter(None, (verdict, wording.doubt(result))))


def _aligned(rows: Sequence[Row]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _ranking(result: ComparisonResult) -> list[Row]:
    rows = [
        (each.place, _printable(each.name), each.overall, each.delta, each.interval, each.p)
        for each in several.places(result)
    ]
    return [("place", "candidate", "overall", "delta", "simultaneous 95%", "p (Holm)"), *rows]


def _pairs(found: Sequence[Findings]) -> list[Row]:
    """Each pair once, from the one that stands before the other."""
    rows: list[Row] = [("", "against", "delta", "simultaneous 95%", "")]
    for place, each in enumerate(found):
        after = {other.candidate.name for other in found[place + 1 :]}
        rows += [
            (_printable(each.candidate.name), _printable(rival.name), rival.delta, rival.interval, rival.word)
            for rival in several.rivals(each.result)
            if rival.name in after
        ]
    return rows


def _row(result: TaskResult) -> Row:
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
