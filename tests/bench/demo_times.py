"""How long each step of the last `make demo` of this checkout took."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from measurement import Measurement

TIMES = Path("build/demo-times.json")


def measure() -> list[Measurement]:
    if not TIMES.exists():
        print(f"  no {TIMES}: run `make demo` first, then its times are shown here", file=sys.stderr)
        return []
    steps: dict[str, float] = json.loads(TIMES.read_text())
    return [Measurement(f"demo: {step}", seconds, "s") for step, seconds in steps.items()]
