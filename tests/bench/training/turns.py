"""Inside the trainer image: the plain script, ours, and ours packed, in turns, each a process of its own.

python3 turns.py MODEL_FOLDER WORK_FOLDER; figures of all runs go to WORK_FOLDER/turns.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from finetune_api.orders import Location, PrepareTrainingOrder, TrainOrder
from finetune_trainer import prepare_training
from finetune_trainer.reporting import Reporter
from length_distribution import SEQUENCE_LENGTH, write_examples

HERE = Path(__file__).parent
NVML = HERE.parents[2] / "build" / "nvml" / "libnvidia-ml.so.1"
GPU = "load process\ngpu name=NVIDIA_L40S ambient=25 resistance=0.1 tau=60 idle=50 busy=400\n"
"""At most 65 °C: it is looked after, and never has to rest."""
GUARD = {"max_power_watts": 450, "max_temperature_celsius": 90}
EXAMPLES = 40
MICRO_BATCH = 8
TURNS = (("plain", "ours", "packed"), ("packed", "ours", "plain"))
"""The other way round the second time, so that none always finds the machine warm."""


def main(model: Path, work: Path) -> None:
    if not NVML.exists():
        raise SystemExit(f"{NVML} is missing: make build/nvml/{NVML.name}")
    work.mkdir(parents=True, exist_ok=True)
    write_examples(EXAMPLES, work / "train.jsonl")
    figures: dict[str, list[dict[str, float]]] = {"plain": [], "ours": [], "packed": []}
    for number, turn in enumerate(TURNS):
        for kind in turn:
            print(f"  … turn {number + 1}: {kind}", file=sys.stderr, flush=True)
            figures[kind].append(_run(kind, model, work, work / f"{kind}-{number}"))
    (work / "turns.json").write_text(json.dumps(figures))


def _run(kind: str, model: Path, work: Path, folder: Path) -> dict[str, float]:
    folder.mkdir()
    figures = folder / "figures.json"
    if kind == "plain":
        command = [str(HERE / "plain_trl.py"), str(model), str(work / "train.jsonl"), _precision(model, work)]
        command += [str(folder / "output"), str(figures)]
    else:
        order = folder / "order.json"
        order.write_text(_prepared_order(model, work, folder, packing=kind == "packed"))
        command = [str(HERE / "ours.py"), str(order), str(figures)]
    return _measured(command, figures, folder / "output.txt")


def _measured(command: list[str], figures: Path, output: Path) -> dict[str, float]:
    """Runs it, and adds when it began and its largest resident set."""
    began = time.time()
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, *command], env=_environment(output.parent), stdout=stream, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)}:\n{output.read_text()[-3000:]}")
    found: dict[str, float] = json.loads(figures.read_text())
    return found | {"beganAt": began, "peakBytes": usage.ru_maxrss * 1024}


def _environment(folder: Path) -> dict[str, str]:
    """With a GPU to guard, while the CPU computes; the plain script looks for none."""
    script = folder / "gpu"
    script.write_text(GPU)
    return os.environ | {
        "LD_LIBRARY_PATH": str(NVML.parent),
        "FINETUNE_SCRIPTED_NVML": str(script),
        "FINETUNE_COMPUTE": "cpu",
        "FINETUNE_TERMINATION_LOG": str(folder / "result.json"),
    }


def _prepared_order(model: Path, work: Path, folder: Path, *, packing: bool) -> str:
    fields: dict[str, Any] = {
        "directory": str(folder / "run"),
        "base_model": Location(volume=str(model.parent), path=model.name, manifest_field="spec.baseModel"),
        "gpus": 0,
        "lora": {},
        "training": {
            "epochs": 1,
            "sequence_length": SEQUENCE_LENGTH,
            "effective_batch_size": MICRO_BATCH,
            "packing": packing,
        }
        | ({} if packing else {"micro_batch_size": MICRO_BATCH}),
    }
    dataset = Location(volume=str(work), path="train.jsonl", manifest_field="spec.dataset")
    prepare = {"dataset": dataset, "validation_fraction": "0", "method": "lora"}
    prepare_training.run(PrepareTrainingOrder.model_validate(fields | prepare), Reporter(sys.stderr))
    return TrainOrder.model_validate(fields | {"gpus": 1, "guard": GUARD}).to_json()


def _precision(model: Path, work: Path) -> str:
    """That of our plan, for both."""
    folder = work / "precision"
    _prepared_order(model, work, folder, packing=False)
    plan = json.loads((folder / "run" / "prepare" / "plan.json").read_text())
    return str(plan["precision"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
