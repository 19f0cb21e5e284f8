"""Trainings in several processes, which compute on the CPU and meet by gloo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from workplaces import Workplace

from finetune_api.results import Result, parse_result

_MAIN = [sys.executable, "-m", "finetune_trainer"]


def environment(workplace: Workplace, log: Path, spoilers: Path | None = None, **changes: Any) -> dict[str, str]:
    """`spoilers` is a folder with a `sitecustomize.py`, which each process runs first."""
    paths = [*([str(spoilers)] if spoilers is not None else []), *(entry for entry in sys.path if entry)]
    return os.environ | {
        "PYTHONPATH": ":".join(paths),
        "FINETUNE_COMPUTE": "cpu",
        "FINETUNE_ORDER": workplace.train_order(**{"gpus": 2} | changes).to_json(),
        "FINETUNE_TERMINATION_LOG": str(log),
    }


def train_together(workplace: Workplace, log: Path, spoilers: Path | None = None, **changes: Any) -> tuple[int, Result]:
    """Exit code and result of a training on two test devices."""
    process = subprocess.run(
        _MAIN, env=environment(workplace, log, spoilers, **changes), stdout=subprocess.PIPE, text=True
    )
    workplace.said.write("".join(f"{line}\n" for line in process.stdout.splitlines() if '"event"' in line))
    return process.returncode, parse_result(log.read_text())
