"""The table that the demo ends with, from the Comparison's status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

HEADER = ("", "base", "fine-tuned", "delta", "95% interval", "p (Holm)", "n")
FOOTNOTE = (
    "p of the tasks is adjusted for their number (Holm); the overall score is the one primary test, and its p is not"
)


def print_table(comparison: Json) -> None:
    candidate = comparison["status"]["candidates"][0]
    rows = [HEADER, *(effect_row(task["title"], task) for task in candidate["tasks"])]
    rows.append(effect_row("overall", candidate["overall"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(FOOTNOTE)
    cost = candidate.get("cost", {})
    minutes = float(cost.get("trainingHours", 0)) * 60
    kilowatt_hours = cost.get("energyKWh")
    energy = f"{kilowatt_hours} kWh" if kilowatt_hours is not None else cost.get("energyNote", "not measured")
    print(f"training time {minutes:.1f} min · energy {energy} · verdict {candidate['verdict']}")
    for gate in candidate.get("gates", []):
        if not gate["passed"]:
            name = " ".join(part for part in (gate["gate"], gate.get("task")) if part)
            print(f"gate not passed: {name} (lower bound {gate.get('bound', 'unbounded')}, limit {gate['limit']})")


def effect_row(title: str, effect: Json) -> tuple[str, ...]:
    percent = f" ({effect['deltaPercent']}%)" if "deltaPercent" in effect else ""
    return (
        title,
        effect["base"],
        effect["tuned"],
        f"{effect['delta']}{percent}",
        f"[{effect['lower']},{effect['upper']}]",
        effect.get("pHolm", effect["p"]),
        str(effect["n"]),
    )
