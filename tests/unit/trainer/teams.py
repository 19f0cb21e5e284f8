"""Trainings in several processes, which compute on the CPU and meet by gloo."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workplaces import Workplace

from finetune_api.planning import TrainingPlan
from finetune_api.results import PrepareTrainingResult, Result, parse_result
from finetune_trainer import prepare_training
from finetune_trainer.artifacts import Marker, find_complete, seal
from finetune_trainer.train.last_words import LastWord, decisive, read_last_words

Fault = Callable[[], None]
"""What each process does first: spoils something, perhaps only where it is the second one."""
SIZE = 2


def nothing() -> None:
    """The fault of a training in which nothing happens."""


@dataclass(frozen=True)
class Ended:
    """What became of all processes of a training."""

    exit_codes: list[int | None]
    words: Mapping[int, LastWord]
    events: list[list[dict[str, Any]]]
    """What each of them said."""

    @property
    def told(self) -> tuple[int, str]:
        """Exit code and message that are told for all."""
        failure = decisive(self.words)
        assert failure is not None
        return failure.exit_code, failure.message


def prepared(workplace: Workplace, plan: Mapping[str, Any] | None = None, **changes: Any) -> None:
    """Prepares for one process, and then changes the plan as if it had been for several."""
    prepare_training.run(workplace.prepare_order(**changes), workplace.reporter)
    folder = workplace.directory / "prepare"
    result = find_complete(workplace.directory, "prepare")
    assert isinstance(result, PrepareTrainingResult)
    changed = TrainingPlan.model_validate(result.plan.model_dump() | dict(plan or {}))
    identity = Marker.model_validate_json((folder / "COMPLETE").read_text()).identity
    for name in ("COMPLETE", "manifest.json"):
        (folder / name).unlink()
    (folder / "result.json").write_text(result.model_copy(update={"plan": changed}).model_dump_json(by_alias=True))
    seal(folder, identity)


def train_as_team(workplace: Workplace, folder: Path, fault: Fault = nothing, **changes: Any) -> Ended:
    """Without the agent: processes that are forked from one which has loaded torch already."""
    folder.mkdir(parents=True)
    os.environ["PYTHONPATH"] = _python_path()
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["finetune_trainer.train.training"])
    order = workplace.train_order(**{"gpus": SIZE} | changes).to_json()
    port = free_port()
    members = [server.Process(target=_member, args=(rank, port, order, folder, fault)) for rank in range(SIZE)]
    for member in members:
        member.start()
    for member in members:
        member.join()
    events = [_events(folder / f"{rank}.out") for rank in range(SIZE)]
    return Ended([member.exitcode for member in members], read_last_words(folder), events)


def _member(rank: int, port: int, order: str, folder: Path, fault: Fault) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(SIZE),
        LOCAL_WORLD_SIZE=str(SIZE),
        MASTER_ADDR="localhost",
        MASTER_PORT=str(port),
        FINETUNE_LAST_WORDS=str(folder),
        FINETUNE_COMPUTE="cpu",
        FINETUNE_ORDER=order,
    )
    from finetune_trainer import reporting
    from finetune_trainer.__main__ import main

    reporting.Reporter.__init__.__kwdefaults__["interval"] = 0.0
    fault()
    with (folder / f"{rank}.out").open("w") as said:
        sys.stdout = said
        exit_code = main([])
    sys.exit(exit_code)


def _events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def launch(workplace: Workplace, log: Path, sites: Path | None = None, **changes: Any) -> subprocess.Popen[str]:
    """As in a pod. `sites` is a folder with a `sitecustomize.py`, which each process runs first. `environment` among
    the changes goes to the process's environment."""
    extra = changes.pop("environment", {})
    environment = os.environ | {
        "PYTHONPATH": ":".join([*([str(sites)] if sites is not None else []), _python_path()]),
        "FINETUNE_COMPUTE": "cpu",
        "FINETUNE_ORDER": workplace.train_order(**{"gpus": SIZE} | changes).to_json(),
        "FINETUNE_TERMINATION_LOG": str(log),
    }
    command = [sys.executable, "-m", "finetune_trainer"]
    return subprocess.Popen(
        command, env=environment | extra, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]]]:
    """Exit code, and all lines that were printed."""
    with process:
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout]
    return process.returncode, lines


def result_in(log: Path) -> Result:
    return parse_result(log.read_text())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def _python_path() -> str:
    return ":".join(entry for entry in sys.path if entry)
