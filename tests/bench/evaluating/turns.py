"""Inside the trainer image: the harness and ours in turns, each a process of its own.

python3 turns.py MODEL_FOLDER WORK_FOLDER; figures of all runs go to WORK_FOLDER/turns.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TURNS = (("harness", "ours"), ("ours", "harness"))
"""The other way round the second time, so that none always finds the machine warm."""


def main(model: Path, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[dict[str, Any]]] = {"harness": [], "ours": []}
    for number, turn in enumerate(TURNS):
        for kind in turn:
            print(f"  … turn {number + 1}: {kind}", file=sys.stderr, flush=True)
            runs[kind].append(_run(kind, model, work / f"{kind}-{number}"))
    (work / "turns.json").write_text(json.dumps(runs))


def _run(kind: str, model: Path, stem: Path) -> dict[str, Any]:
    """Its figures, and its largest resident set."""
    figures, output = stem.with_suffix(".json"), stem.with_suffix(".txt")
    with output.open("w") as stream:
        command = [sys.executable, str(HERE / f"{kind}.py"), str(model), str(figures)]
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{kind}:\n{output.read_text()[-3000:]}")
    found: dict[str, Any] = json.loads(figures.read_text())
    return found | {"peakBytes": usage.ru_maxrss * 1024}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
