"""Fixtures for all tests of the trainer."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

# Before torch is imported: one thread is fastest for a tiny model, and nothing asks the network.
os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules, wherever pytest was started

from forms import Form, Uninterrupted
from scripted_nvml import ScriptedNvml
from workplaces import MakeWorkplace, Workplace, eps_rows, make_tiny_model

from finetune_api.results import TrainResult
from finetune_trainer.stopping import STOP
from finetune_trainer.train import step

# The machine may be busy: a slow example is no wrong one.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a Llama with 2 layers and random weights, its tokenizer and its chat template. Not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_tiny_model(folder)
    return folder


@pytest.fixture
def make_workplace(tmp_path: Path, tiny_model: Path) -> MakeWorkplace:
    """Several workplaces side by side, each with 40 examples."""

    def make(name: str) -> Workplace:
        place = Workplace(tmp_path / name, tiny_model)
        place.write_rows(eps_rows(40))
        return place

    return make


@pytest.fixture
def workplace(make_workplace: MakeWorkplace) -> Workplace:
    return make_workplace("workplace")


@pytest.fixture
def own_model(workplace: Workplace) -> Path:
    """A copy of the tiny model that the workplace uses, to be changed at will."""
    folder = workplace.root / "models" / "own"
    shutil.copytree(workplace.model, folder)
    workplace.model = folder
    return folder


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Uninterrupted:
    """A training without interruption, done once for each form."""

    @cache
    def train(form: Form) -> tuple[Workplace, TrainResult]:
        workplace = Workplace(tmp_path_factory.mktemp("uninterrupted"), tiny_model)
        workplace.write_rows(eps_rows(40))
        form.prepare(workplace)
        return workplace, step.run(workplace.train_order(**form.settings), workplace.reporter)

    return train


@pytest.fixture
def stop_request() -> Iterator[None]:
    """Puts the process's stop request back, whatever a test did with it."""
    yield
    STOP.requested = False


@pytest.fixture
def nvml(tmp_path: Path) -> Iterator[ScriptedNvml]:
    """An NVML that follows the script that a test starts it with; without one, there is none."""
    scripted = ScriptedNvml(tmp_path)
    yield scripted
    scripted.end()
