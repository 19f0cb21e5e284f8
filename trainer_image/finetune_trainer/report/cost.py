"""What the candidate took, as people read it."""

from __future__ import annotations

from decimal import Decimal

from finetune_api.comparison import Cost
from finetune_api.verdicts import Verdict
from finetune_trainer import figures
from finetune_trainer.report.findings import Findings

Lines = list[tuple[str, str]]
"""What it is, and how much."""


def cost_in_a_word(cost: Cost | None) -> Lines:
    """Hours and energy of the training; what was not measured says so."""
    if cost is None:
        return [("training", "not known to this comparison")]
    return [("training time", _duration(cost.training_hours)), ("GPU energy", _energy(cost))]


def cost_lines(findings: Findings) -> Lines:
    """All that is known; empty where nothing is known of the training."""
    cost = findings.cost
    if cost is None:
        return []
    return [
        *cost_in_a_word(cost),
        *_if_known("GPU energy of failed attempts", cost.failed_attempts_energy_kwh, "kWh"),
        *([] if cost.evaluation_hours is None else [("evaluation time", _duration(cost.evaluation_hours))]),
        ("GPU energy a point gained", _per_point(cost, findings.result.verdict)),
        ("improvement (ROI)", _improvement(findings)),
        *_if_known("price of the training", cost.money, cost.currency or ""),
    ]


def _energy(cost: Cost) -> str:
    return cost.energy_note or "not measured" if cost.energy_kwh is None else f"{cost.energy_kwh} kWh"


def _if_known(name: str, value: str | None, unit: str) -> Lines:
    return [] if value is None else [(name, f"{value} {unit}".rstrip())]


def _per_point(cost: Cost, verdict: Verdict) -> str:
    if cost.kwh_per_point is not None:
        return f"{cost.kwh_per_point} kWh"
    return "n/a: energy was not measured" if verdict is Verdict.IMPROVED else f"n/a: the verdict is {verdict}"


def _improvement(findings: Findings) -> str:
    relative, verdict = findings.result.overall.relative_percent, findings.result.verdict
    if relative is None:
        return "n/a: the baseline scores 0"
    doubt = "" if verdict in (Verdict.IMPROVED, Verdict.REGRESSED) else f"; the verdict is {verdict}"
    return f"{figures.percent(relative)}% of the baseline's overall score{doubt}"


def _duration(hours: str) -> str:
    minutes = float(Decimal(hours) * 60)
    return f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
