"""Writes the report's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finetune_trainer.evaluation.finished import FinishedEvaluation
from finetune_trainer.report import slices, wording
from finetune_trainer.report.findings import Findings
from finetune_trainer.report.page import detectable, render
from finetune_trainer.report.table import markdown
from finetune_trainer.timestamps import utc_now

REPORT_FILE = "report.html"
FIGURES_FILE = "report.json"
TABLE_FILE = "report.md"


def write_report(findings: Findings, folder: Path) -> None:
    """The page, the figures behind it, and the table for a text."""
    written = utc_now()
    (folder / REPORT_FILE).write_text(render(findings, written), encoding="utf-8")
    figures = json.dumps(_document(findings, written), indent=2, ensure_ascii=False)
    (folder / FIGURES_FILE).write_text(figures + "\n", encoding="utf-8")
    table = f"{wording.headline(findings)}\n\n{markdown(findings.result)}\n{wording.earlier_looks(findings)}\n"
    (folder / TABLE_FILE).write_text(table, encoding="utf-8")


def _document(findings: Findings, written: str) -> dict[str, Any]:
    """Unrounded figures, for whoever computes on."""
    return {
        "comparison": findings.comparison,
        "written": written,
        "headline": wording.headline(findings),
        **findings.result.as_document(),
        "minimumDetectableEffectPoints": {each.title: float(each.points) for each in detectable(findings)},
        "earlierLooks": findings.earlier_looks,
        "slices": slices.as_document(findings.slices),
        "caveats": wording.caveats(findings),
        "cost": None if findings.cost is None else findings.cost.to_manifest(),
        "baseline": _evaluation(findings.baseline),
        "candidate": _evaluation(findings.candidate),
    }


def _evaluation(evaluation: FinishedEvaluation) -> dict[str, Any]:
    return {
        "name": evaluation.name,
        "score": evaluation.result.score,
        "seconds": evaluation.result.seconds,
        **evaluation.record.model_dump(mode="json", by_alias=True),
    }
