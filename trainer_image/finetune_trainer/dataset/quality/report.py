"""dataset_report.html for people, the same for machines, and review.jsonl: what to look at, worst first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finetune_api.finetunejob import DatasetSummary
from finetune_trainer.dataset.examples import Example
from finetune_trainer.dataset.quality.distributions import Histogram
from finetune_trainer.dataset.quality.findings import Finding, FindingKind
from finetune_trainer.dataset.quality.inspection import Inspection
from finetune_trainer.escaping_templates import environment

PAGE_FILE = "dataset_report.html"
REVIEW_FILE = "review.jsonl"

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_SHOWN = 50
"""Examples on the page; all are in review.jsonl."""
_SHOWN_CHARACTERS = 600
_SHOWN_SHARES = 12
_TENTHS = 10

_TITLES = {
    FindingKind.EXACT_DUPLICATE: "the same as an earlier one",
    FindingKind.NEAR_DUPLICATE: "almost the same as an earlier one",
    FindingKind.CONTRADICTION: "answers a question otherwise than another one does",
    FindingKind.LEAKED_VALIDATION: "in the validation split too",
    FindingKind.LEAKED_SUITE: "in the suite too",
    FindingKind.IRRELEVANT: "hardly about finance",
    FindingKind.INCONSISTENT: "answer does not follow from its text",
    FindingKind.PERSONAL_DATA: "holds personal data",
    FindingKind.LANGUAGE: "in a language that few others are in",
    FindingKind.EMPTY_TARGET: "has nothing to learn",
}


@dataclass(frozen=True)
class Row:
    """A name, how many, and their share as the width of a bar (0 to 100)."""

    name: str
    count: int
    percent: str
    width: float


@dataclass(frozen=True)
class Chart:
    """A histogram, ready to be drawn."""

    title: str
    note: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Shown:
    """An example that somebody should look at."""

    id: str
    line: int
    findings: tuple[Finding, ...]
    prompt: str
    answer: str


def review_lines(inspection: Inspection) -> str:
    """One JSON object for each example to look at, worst first."""
    examples = _by_line(inspection)
    ids = inspection.decided.ids
    entries = (_review(ids[found[0].line], examples[found[0].line], found) for found in _reviewed(inspection, examples))
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


def document(inspection: Inspection) -> dict[str, Any]:
    """Unrounded figures, for whoever computes on."""
    return {
        **inspection.summary().to_manifest(),
        "findings": [asdict(finding) for finding in sorted(inspection.findings, key=lambda each: each.line)],
        "histograms": [asdict(each) for each in inspection.histograms],
        "relevanceTenths": list(_tenths(inspection)),
        "allLanguages": dict(inspection.languages.most_common()),
        "allLabels": dict(inspection.labels.most_common()),
    }


def page(inspection: Inspection, summary: DatasetSummary, dataset: str, written: str) -> str:
    """The report as one HTML document that needs nothing else. `dataset` is what it is called."""
    return (
        environment(_TEMPLATES)
        .get_template("dataset_report.html.j2")
        .render(
            dataset=dataset,
            written=written,
            summary=summary,
            quality=inspection.summary(),
            findings=_finding_rows(inspection),
            charts=[_relevance_chart(inspection), *map(_length_chart, inspection.histograms)],
            languages=_rows(inspection.languages),
            labels=_rows(inspection.labels),
            shown=tuple(_shown(inspection))[:_SHOWN],
            to_review=len(inspection.to_review),
            titles=_TITLES,
        )
    )


def _by_line(inspection: Inspection) -> dict[int, Example]:
    return {numbered.line: numbered.example for numbered in inspection.examples}


def _reviewed(inspection: Inspection, examples: dict[int, Example]) -> Iterator[tuple[Finding, ...]]:
    return (found for found in inspection.to_review if found[0].line in examples)


def _review(name: str, example: Example, found: tuple[Finding, ...]) -> dict[str, Any]:
    return {
        "id": name,
        "line": found[0].line,
        "kinds": [finding.kind.value for finding in found],
        "detail": "; ".join(finding.detail for finding in found),
        "example": example.to_document(),
    }


def _finding_rows(inspection: Inspection) -> list[Row]:
    counts = Counter({_TITLES[kind]: inspection.count(kind) for kind in FindingKind if inspection.count(kind)})
    return _rows(counts, whole=len(inspection.examples) + inspection.decided.rejected)


def _rows(counts: Counter[str], whole: int | None = None) -> list[Row]:
    total = max(1, counts.total() if whole is None else whole)
    return [
        Row(name, count, f"{100 * count / total:.1f}%", round(100 * count / total, 1))
        for name, count in counts.most_common(_SHOWN_SHARES)
    ]


def _tenths(inspection: Inspection) -> tuple[int, ...]:
    counts = Counter(min(_TENTHS - 1, int(score * _TENTHS)) for score in inspection.relevance.values())
    return tuple(counts[tenth] for tenth in range(_TENTHS))


def _relevance_chart(inspection: Inspection) -> Chart:
    tenths = _tenths(inspection)
    names = [f"{tenth / _TENTHS:.1f} to {(tenth + 1) / _TENTHS:.1f}" for tenth in range(_TENTHS)]
    mean = inspection.mean_relevance
    note = "no examples" if mean is None else f"mean {mean:.2f}; below 0.5 an example is hardly about finance"
    return Chart("About finance (score)", note, _bars(names, tenths))


def _length_chart(lengths: Histogram) -> Chart:
    names = [str(bar.low) if bar.high - bar.low <= 1 else f"{bar.low} to {bar.high - 1}" for bar in lengths.bars]
    note = f"shortest {lengths.shortest}, median {lengths.middle:g}, longest {lengths.longest}"
    return Chart(f"{lengths.name} in {lengths.unit}", note, _bars(names, [bar.count for bar in lengths.bars]))


def _bars(names: list[str], counts: list[int] | tuple[int, ...]) -> tuple[Row, ...]:
    total, highest = max(1, sum(counts)), max(1, *counts, 1)
    return tuple(
        Row(name, count, f"{100 * count / total:.1f}%", round(100 * count / highest, 1))
        for name, count in zip(names, counts, strict=True)
    )


def _shown(inspection: Inspection) -> Iterator[Shown]:
    examples = _by_line(inspection)
    for found in _reviewed(inspection, examples):
        example = examples[found[0].line]
        *given, answer = (message["content"] for message in example.messages)
        yield Shown(inspection.decided.ids[found[0].line], found[0].line, found, _cut("\n\n".join(given)), _cut(answer))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + " …"
