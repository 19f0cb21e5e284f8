"""Our train step against the plain trl script that a user would write: speed, memory, start, and what we add."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from base_models import smollm2_folder
from localcluster import load
from measurement import Measurement, compared

WORK = Path("build/bench/train-speed")
CHECKPOINT_EVERY = 100
"""Steps between checkpoints, as spec.training.checkpointEverySteps has it by default."""
Run = dict[str, float]


def measure() -> list[Measurement]:
    turns = _turns()
    plain, ours, packed = turns["plain"], turns["ours"], turns["packed"]
    return [
        compared("train.tokens", _speed(ours), _speed(plain), "non-padding tokens/s"),
        compared("train.tokens.packed", _speed(packed), _speed(plain), "non-padding tokens/s"),
        compared("train.memory", _peak(ours), _peak(plain), "MiB"),
        compared("train.memory.packed", _peak(packed), _peak(plain), "MiB"),
        *_overhead(ours),
        compared("train.start", _start(ours), _start(plain), "s"),
        *_start_by_part(ours[-1]),
    ]


def _turns() -> dict[str, list[Run]]:
    model = smollm2_folder(load())
    shutil.rmtree(WORK, ignore_errors=True)
    inside = ["python3", "/src/tests/bench/training/turns.py", f"/models/{model.name}", f"/src/{WORK}"]
    environment = ["env", "PYTHONPATH=/src/operator:/src/trainer_image", "PYTHONDONTWRITEBYTECODE=1"]
    volumes = ["-v", f"{Path.cwd()}:/src", "-v", f"{model.parent}:/models"]
    command = [sys.executable, "-m", "localcluster", "run-in-image", "trainer", *volumes, "--", *environment, *inside]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": "tests/cluster"}, check=True)
    turns: dict[str, list[Run]] = json.loads((WORK / "turns.json").read_text())
    return turns


def _speed(runs: list[Run]) -> float:
    return sum(run["tokens"] for run in runs) / sum(run["seconds"] for run in runs)


def _peak(runs: list[Run]) -> float:
    return statistics.median(run["peakBytes"] for run in runs) / 2**20


def _overhead(runs: list[Run]) -> list[Measurement]:
    """Of a step's time: callbacks (events, guard, curves) at every step, and a checkpoint at every hundredth."""
    step = statistics.median(run["seconds"] / (run["steps"] - 1) for run in runs)
    checkpoint = statistics.median(run["secondsPerCheckpoint"] for run in runs)
    callbacks = statistics.median(run["callbackSeconds"] / run["steps"] for run in runs)
    return [
        Measurement("train.overhead.callbacks", 100 * callbacks / step, "% of a step"),
        Measurement("train.overhead.checkpoints", 100 * checkpoint / CHECKPOINT_EVERY / step, "% of a step"),
    ]


def _start(runs: list[Run]) -> float:
    """From the start of the container's process, interpreter and imports included, to the end of the first step."""
    return statistics.median(run["firstStepAt"] - run["beganAt"] for run in runs)


def _start_by_part(run: Run) -> list[Measurement]:
    """The interpreter, our own modules, then each stage until the next one; the first step is the last part."""
    begun = sorted((at, name.removeprefix("stage ")) for name, at in run.items() if name.startswith("stage "))
    moments = [(run["beganAt"], "interpreter"), *(part for part in begun if part[0] < run["firstStepAt"])]
    ends = [*(at for at, _ in moments[1:]), run["firstStepAt"]]
    return [Measurement(f"train.start: {name}", end - at, "s") for (at, name), end in zip(moments, ends, strict=True)]
