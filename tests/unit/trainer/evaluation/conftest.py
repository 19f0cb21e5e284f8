"""A model that gives varied answers, an adapter that changes them, and a desk to order evaluations at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from evaluation_desk import Desk, write_adapter, write_suite
from transformers import LlamaForCausalLM, PreTrainedModel


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Beside other work, threads that wait for each other take many times longer."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def question_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger weights: another answer to every question, and the same one every time."""
    folder = tmp_path_factory.mktemp("question-models") / "tiny"
    shutil.copytree(tiny_model, folder)
    model = LlamaForCausalLM.from_pretrained(folder)
    torch.manual_seed(7)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_language_model(question_model: Path) -> PreTrainedModel:
    return LlamaForCausalLM.from_pretrained(question_model, dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def adapter(question_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(question_model, tmp_path_factory.mktemp("adapters") / "adapter")


@pytest.fixture
def desk(tmp_path: Path, question_model: Path) -> Desk:
    suite = tmp_path / "suite"
    write_suite(suite)
    return Desk(tmp_path, question_model, suite)
