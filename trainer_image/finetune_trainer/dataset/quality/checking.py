"""The part of prepare that asks what the examples are like: decisions, findings, limits, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finetune_api.conditions import Reason
from finetune_api.finetunejob import DatasetSummary
from finetune_api.orders import PrepareTrainingOrder
from finetune_trainer.artifacts import write_durably
from finetune_trainer.dataset.counting import CountsByLine
from finetune_trainer.dataset.quality import report
from finetune_trainer.dataset.quality.cleaning import Examined, refuse_copies_and_leaks
from finetune_trainer.dataset.quality.content_limits import REVIEW_COPY, refuse_beyond
from finetune_trainer.dataset.quality.decisions import Decided, apply_decisions, read_decisions, undecided
from finetune_trainer.dataset.quality.inspection import Inspection, inspect
from finetune_trainer.dataset.reading import ReadDataset
from finetune_trainer.failures import UserError
from finetune_trainer.locations import resolve_file
from finetune_trainer.reporting import Reporter
from finetune_trainer.timestamps import utc_now

FIGURES_FILE = "dataset_report.json"


def decide(order: PrepareTrainingOrder, dataset: ReadDataset) -> Decided:
    """The examples as people decided. While lines of the dataset are wrong these are told about first."""
    if order.decisions is None or dataset.problems:
        return undecided(dataset.examples)
    field = order.decisions.manifest_field
    path = resolve_file(order.decisions, Reason.DATASET_INVALID)
    return apply_decisions(dataset.examples, read_decisions(path, field), field)


def check_quality(
    order: PrepareTrainingOrder, decided: Decided, examined: Examined, counts: CountsByLine, reporter: Reporter
) -> Inspection:
    """UserError (DatasetInvalid) beyond a limit; then the examples to decide about lie in the run's folder."""
    reporter.stage("looking at the examples")
    total = len(decided.examples)
    inspection = inspect(decided, counts, lambda done: reporter.progress(done, total), examined.findings)
    review = Path(order.directory) / REVIEW_COPY
    try:
        refuse_copies_and_leaks(examined, order.quality)
        refuse_beyond(order.quality, inspection.findings, total)
    except UserError:
        review.parent.mkdir(parents=True, exist_ok=True)
        write_durably(review, report.review_lines(inspection))
        raise
    review.unlink(missing_ok=True)
    return inspection


def write_reports(
    folder: Path, inspection: Inspection, summary: DatasetSummary, dataset: str, figures: dict[str, Any]
) -> None:
    """The page, the figures with those that are known already, and what to look at."""
    document = {**figures, "quality": report.document(inspection)}
    (folder / FIGURES_FILE).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    html = report.page(inspection, summary, dataset, utc_now())
    (folder / report.PAGE_FILE).write_text(html, encoding="utf-8")
    (folder / report.REVIEW_FILE).write_text(report.review_lines(inspection), encoding="utf-8")
