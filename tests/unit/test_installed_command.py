"""`pip install .` gives the command `finetune`, which plans where there is no torch."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from finetune_api.exit_codes import ExitCode

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "operator", "trainer_image")
JOB = """
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: llama}
spec:
  baseModel: {persistentVolumeClaim: {claimName: models, path: llama}}
  dataset: {persistentVolumeClaim: {claimName: datasets, path: train.jsonl}}
"""
LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "vocab_size": 128256,
}


def run(*command: str | Path, cwd: Path) -> str:
    """What it prints. It sees no sources but those that are installed."""
    without_sources = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(command, cwd=cwd, env=without_sources, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment of its own, which lends the libraries that this one has."""
    folder = tmp_path_factory.mktemp("installed")
    environment, sources = folder / "environment", folder / "sources"
    venv.create(environment)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in SOURCES:
        # A copy, since building leaves files beside the sources.
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile)(ROOT / name, _made(sources) / name)
    python = environment / "bin" / "python"
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps")
    run(*install, "--no-build-isolation", sources, cwd=folder)
    return python.parent


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def test_the_installed_command_plans_without_torch(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    (_made(tmp_path / "llama") / "config.json").write_text(json.dumps(LLAMA_8B))
    found = (
        "from importlib.util import find_spec as f; print(f('torch'), f('transformers'), f('finetune_trainer').origin)"
    )
    *libraries, package = run(scripts / "python", "-c", found, cwd=tmp_path).split()
    assert libraries == ["None", "None"]
    assert Path(package).is_relative_to(scripts.parent)

    options = ("-f", "job.yaml", "--models", ".", "--gpu-memory", "24Gi", "-o", "json")
    plan = json.loads(run(scripts / "finetune", "plan", *options, cwd=tmp_path))
    assert (plan["method"], plan["activationCheckpointing"]) == ("lora", True)
    assert plan["memory"]["peakBytes"] == sum(plan["memory"]["parts"].values())


def test_it_ends_quietly_when_nobody_reads_on(scripts: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = (scripts / "finetune", "plan", "--help")
        finished = subprocess.run(command, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120)
    finally:
        os.close(writing)
    assert (finished.returncode, finished.stderr) == (-signal.SIGPIPE, "")


def test_it_stops_on_ctrl_c_without_a_traceback(scripts: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless.jsonl")
    command = subprocess.Popen(
        (scripts / "finetune", "compare", "--baseline", "endless.jsonl", "--candidate", "endless.jsonl"),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with open(tmp_path / "endless.jsonl", "w"):  # opens once it is read
        command.send_signal(signal.SIGINT)
        _, told = command.communicate(timeout=120)
    assert (command.returncode, told) == (ExitCode.STOPPED, "finetune compare: stopped\n")
