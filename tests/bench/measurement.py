"""One figure, and what it is compared with in the same run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    name: str
    value: float
    unit: str
    baseline: float | None = None
    """The same of what it is measured against, in the same unit; None where there is nothing to compare with."""
    ratio: float | None = None
    """Value over baseline."""

    def cell(self, column: str) -> str:
        content = getattr(self, column)
        return "" if content is None else content if isinstance(content, str) else f"{content:.3g}"


def compared(name: str, value: float, baseline: float, unit: str) -> Measurement:
    return Measurement(name, value, unit, baseline, value / baseline if baseline else None)


def percentile_95(values: Sequence[float]) -> float:
    """The largest of few values, the 95th percentile of many."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
