"""Several processes as a pod has them: the one that starts them tells what came of all."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from interruptions import checkpoints, is_training, signalled
from scripted_nvml import LIBRARY
from teams import ended, free_port, launch, prepared, result_in
from workplaces import TRAINING, Workplace, losses

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.results import Failure, TrainResult

EXACT: dict[str, Any] = {"training": TRAINING | {"precision": "float32"}, "lora": {"dropout": "0"}}
LONG = EXACT | {"training": EXACT["training"] | {"epochs": 40, "checkpoint_every_steps": 1000}}
KILL_THE_SECOND = """
import os
if os.environ.get("RANK") == "1":
    import team_faults
    team_faults.is_killed()
"""


@pytest.fixture
def killing(tmp_path: Path) -> Path:
    folder = tmp_path / "sites"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(KILL_THE_SECOND)
    return folder


def test_a_process_that_is_killed_ends_the_attempt_and_the_next_one_goes_on(
    workplace: Workplace, tmp_path: Path, killing: Path
) -> None:
    prepared(workplace, **EXACT)
    code, lines = ended(launch(workplace, tmp_path / "log", killing, **EXACT))
    failure = result_in(tmp_path / "log")
    assert isinstance(failure, Failure)
    assert (code, failure.reason) == (ExitCode.INFRASTRUCTURE, Reason.POD_LOST)
    assert "process 1 of the training was killed (SIGKILL)" in failure.message
    assert checkpoints(workplace) == [0, 4]
    code, lines = ended(launch(workplace, tmp_path / "log", **EXACT))
    assert code == ExitCode.DONE
    assert isinstance(result_in(tmp_path / "log"), TrainResult)
    assert [line["result"] for line in lines if "result" in line] == ["train"]
    assert [line["stage"] for line in lines if line.get("event") == "stage"].count("training on from step 4") == 1
    assert len(losses(workplace)) == 10
    assert not (workplace.directory / "checkpoints").exists()


def test_a_preempted_pod_stops_all_of_its_processes_with_a_checkpoint(workplace: Workplace, tmp_path: Path) -> None:
    prepared(workplace, **LONG)
    process = launch(workplace, tmp_path / "log", **LONG)
    assert signalled(process, signal.SIGTERM, is_training) == ExitCode.STOPPED
    failure = result_in(tmp_path / "log")
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.PREEMPTED
    assert f"the checkpoint of step {checkpoints(workplace)[-1]} is saved" in failure.message


def test_two_nodes_train_together_and_the_first_tells_the_result_with_the_energy_of_both(
    workplace: Workplace, tmp_path: Path
) -> None:
    """The second node's GPU draws a thousand times as much as the first one's."""
    prepared(workplace, **EXACT)
    endpoint = f"localhost:{free_port()}"
    nodes = []
    for rank, watts in enumerate((30, 30_000)):
        script = tmp_path / f"script-{rank}"
        script.write_text(f"load process\ngpu uuid=GPU-{rank} idle={watts} busy={watts} resistance=0.0001\n")
        environment = {
            "FINETUNE_NODES": "2",
            "FINETUNE_NODE_RANK": str(rank),
            "FINETUNE_RENDEZVOUS": endpoint,
            "LD_LIBRARY_PATH": str(LIBRARY.parent),
            "FINETUNE_SCRIPTED_NVML": str(script),
        }
        log = tmp_path / f"log-{rank}"
        nodes.append(launch(workplace, log, gpus=1, nodes=2, environment=environment, **EXACT))
    assert [ended(node)[0] for node in nodes] == [ExitCode.DONE, ExitCode.DONE]
    result = result_in(tmp_path / "log-0")
    assert isinstance(result, TrainResult)
    assert float(result.training.energy_kwh or "nan") > 0.002
    assert not (tmp_path / "log-1").exists()
