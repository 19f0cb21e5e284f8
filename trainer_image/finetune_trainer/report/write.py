"""Writes the report's files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_trainer.flips.flips import counts
from finetune_trainer.report import several, slices, wording
from finetune_trainer.report.cost import cost_lines
from finetune_trainer.report.findings import Findings, PredictionFile
from finetune_trainer.report.markdown import bullets, escaped
from finetune_trainer.report.page import detectable, render
from finetune_trainer.report.short_report import short_report
from finetune_trainer.report.table import causes_markdown, markdown
from finetune_trainer.statistics.results import plain
from finetune_trainer.timestamps import utc_now

if TYPE_CHECKING:
    from finetune_trainer.evaluation.finished import FinishedEvaluation

REPORT_FILE = "report.html"
FIGURES_FILE = "report.json"
TABLE_FILE = "report.md"
SHORT_FILE = "report.short.html.gz"


def write_report(findings: Findings, folder: Path) -> None:
    """The page, the figures behind it, and the table for a text."""
    written = utc_now()
    (folder / REPORT_FILE).write_text(render(findings, written), encoding="utf-8")
    short = short_report(findings, written)
    if short is not None:
        (folder / SHORT_FILE).write_bytes(short)
    (folder / FIGURES_FILE).write_text(as_json(findings, written), encoding="utf-8")
    (folder / TABLE_FILE).write_text(as_markdown(findings), encoding="utf-8")


def as_json(findings: Findings, written: str) -> str:
    """The figures behind the page."""
    return json.dumps(_document(findings, written), indent=2, ensure_ascii=False) + "\n"


def all_as_json(found: Sequence[Findings], written: str) -> str:
    """Those of each of several candidates, the first place first; of one alone, just its own."""
    if len(found) == 1:
        return as_json(found[0], written)
    documents = [_document(each, written) for each in found]
    whole = {"ranking": documents[0]["ranking"], "candidates": documents}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def as_markdown(findings: Findings) -> str:
    """The verdict and the table, for a pull request."""
    result = findings.result
    parts = [
        f"**{result.verdict}**: {escaped(wording.headline(findings))}",
        escaped(" ".join(filter(None, (wording.evidence(result), wording.doubt(result))))),
        markdown(result),
        several.as_markdown(result),
        bullets(f"left out: {escaped(each.name)}: {escaped(each.why)}" for each in findings.left_out),
        causes_markdown(counts(findings.flips)),
        bullets(f"{'passed' if gate.passed else '**not passed**'}: {escaped(gate.name)}" for gate in result.gates),
        bullets(f"{name}: {escaped(value)}" for name, value in cost_lines(findings)),
        bullets(escaped(caveat) for caveat in wording.caveats(findings)),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _document(findings: Findings, written: str) -> dict[str, Any]:
    """Unrounded figures, for whoever computes on."""
    return {
        "comparison": findings.comparison,
        "written": written,
        "headline": wording.headline(findings),
        **findings.result.as_document(),
        "minimumDetectableEffectPoints": {each.title: float(each.points) for each in detectable(findings)},
        "flips": [plain(dataclasses.asdict(flip)) for flip in findings.flips],
        "flipCounts": [count.to_manifest() for count in counts(findings.flips)],
        "leftOut": [each.model_dump(mode="json", by_alias=True) for each in findings.left_out],
        "earlierLooks": findings.earlier_looks,
        "slices": slices.as_document(findings.slices),
        "caveats": wording.caveats(findings),
        "cost": None if findings.cost is None else findings.cost.to_manifest(),
        "baseline": _side(findings.baseline),
        "candidate": _side(findings.candidate),
    }


def _side(evaluation: FinishedEvaluation | PredictionFile) -> dict[str, Any]:
    if isinstance(evaluation, PredictionFile):
        return {"name": evaluation.name, "path": evaluation.path, "digest": evaluation.digest}
    noise = evaluation.result.noise
    return {
        "name": evaluation.name,
        "score": evaluation.result.score,
        "seconds": evaluation.result.seconds,
        "noiseFloor": None if noise is None else noise.to_manifest(),
        **evaluation.record.model_dump(mode="json", by_alias=True),
    }
