"""The page in a form that travels: gzipped, with as many flips as fit."""

from __future__ import annotations

import gzip

from finetune_api.report_parcel import REPORT_LIMIT
from finetune_trainer.report.findings import Findings
from finetune_trainer.report.page import render

_FEWER_FLIPS = (None, 1600, 800, 400, 200, 100, 50, 0)


def short_report(findings: Findings, written: str, limit: int = REPORT_LIMIT) -> bytes | None:
    """The same findings give the same bytes. Where flips are left out, the page says so. None where even without any
    it is beyond the limit."""
    for most in _FEWER_FLIPS:
        packed = gzip.compress(render(findings, written, most).encode(), mtime=0)
        if len(packed) <= limit:
            return packed
    return None
