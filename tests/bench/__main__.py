"""`make bench`: measures, prints a table, writes build/bench.json. Nothing here is a test: machines differ."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import demo_times
import evaluate_speed
import operator_cost
import start_overhead
import train_speed
from measurement import Measurement

BENCHES: Mapping[str, Callable[[], list[Measurement]]] = {
    "start-overhead": start_overhead.measure,
    "operator-cost": operator_cost.measure,
    "train-speed": train_speed.measure,
    "evaluate-speed": evaluate_speed.measure,
    "demo": demo_times.measure,
}
RESULT = Path("build/bench.json")
COLUMNS = ("name", "value", "unit", "baseline", "ratio")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=sorted(BENCHES), help="run one of them")
    only: str | None = parser.parse_args().only
    names = [only] if only else list(BENCHES)
    measured: list[Measurement] = []
    for name in names:
        print(f"▸ {name}", file=sys.stderr, flush=True)
        measured += BENCHES[name]()
    write(measured)
    show(measured)
    return 0


def write(measured: list[Measurement]) -> None:
    """Figures of an earlier run that were not measured this time stay."""
    RESULT.parent.mkdir(exist_ok=True)
    earlier = json.loads(RESULT.read_text()) if RESULT.exists() else []
    names = {item.name for item in measured}
    rows = [row for row in earlier if row["name"] not in names]
    rows += [{column: asdict(item)[column] for column in COLUMNS} for item in measured]
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")


def show(measured: list[Measurement]) -> None:
    rows = [COLUMNS, *(tuple(item.cell(column) for column in COLUMNS) for item in measured)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
