"""Our generation phase against lm-eval-harness's `hf` backend: same model, prompts, stop rule and batch size."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from base_models import smollm2_folder
from localcluster import load
from localcluster.locations import Cache
from measurement import Measurement, compared

WORK = Path("build/bench/evaluate-speed")
HARNESS = ("lm_eval==0.4.13", "sacrebleu==2.5.1", "portalocker==3.2.0", "tabulate==0.9.0", "colorama==0.4.6")
"""What the harness's `hf` backend loads and the trainer image does not have."""
Run = dict[str, Any]


def measure() -> list[Measurement]:
    turns = _turns()
    ours, harness = turns["ours"], turns["harness"]
    return [
        compared("evaluate.answers", _speed(ours), _speed(harness), "answers/s"),
        compared("evaluate.seconds", _seconds(ours), _seconds(harness), "s"),
        compared("evaluate.memory", _peak(ours), _peak(harness), "MiB"),
        Measurement("evaluate.same answers", _same_percent(ours[0], harness[0]), "%"),
    ]


def _turns() -> dict[str, list[Run]]:
    model, harness = smollm2_folder(load()), _harness_folder()
    shutil.rmtree(WORK, ignore_errors=True)
    inside = ["python3", "/src/tests/bench/evaluating/turns.py", f"/models/{model.name}", f"/src/{WORK}"]
    environment = ["env", "PYTHONPATH=/src/operator:/src/trainer_image:/harness", "PYTHONDONTWRITEBYTECODE=1"]
    volumes = ["-v", f"{Path.cwd()}:/src", "-v", f"{model.parent}:/models", "-v", f"{harness}:/harness"]
    command = [sys.executable, "-m", "localcluster", "run-in-image", "trainer", *volumes, "--", *environment, *inside]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": "tests/cluster"}, check=True)
    turns: dict[str, list[Run]] = json.loads((WORK / "turns.json").read_text())
    return turns


def _harness_folder() -> Path:
    """Beside the image's own torch and transformers. Made aside and renamed, so that one that is there is whole."""
    folder = Cache.of_user().root / HARNESS[0].replace("==", "-")
    if not folder.exists():
        aside = folder.with_name(f".{folder.name}.{os.getpid()}")
        how = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--python-version", "3.11"]
        subprocess.run([sys.executable, "-m", "pip", "install", *how, "--target", str(aside), *HARNESS], check=True)
        aside.rename(folder)
    return folder


def _seconds(runs: list[Run]) -> float:
    return statistics.median(run["seconds"] for run in runs)


def _speed(runs: list[Run]) -> float:
    return sum(len(run["answers"]) for run in runs) / sum(run["seconds"] for run in runs)


def _peak(runs: list[Run]) -> float:
    return statistics.median(run["peakBytes"] for run in runs) / 2**20


def _same_percent(ours: Run, harness: Run) -> float:
    """Of the answers, byte for byte but for spaces around them: the harness does not cut what follows a stop string."""
    expected = harness["answers"]
    same = sum(answer.strip() == expected[name].strip() for name, answer in ours["answers"].items())
    return 100 * same / len(expected)
