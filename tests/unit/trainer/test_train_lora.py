"""A training from the order to the adapter, on a tiny model and the CPU."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from workplaces import TRAINING, Workplace, eps_rows, losses, trained

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.quantization import Method, Quantization
from finetune_api.results import TrainResult
from finetune_trainer import prepare_training
from finetune_trainer.digests import folder_digest
from finetune_trainer.failures import InfrastructureError, NonFiniteLoss, UserError
from finetune_trainer.tokenization import Tokenizer
from finetune_trainer.train import step


@dataclass(frozen=True)
class Finished:
    workplace: Workplace
    result: TrainResult


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Finished:
    """A finished training to look at, not to change."""
    workplace = Workplace(tmp_path_factory.mktemp("finished"), tiny_model)
    workplace.write_rows(eps_rows(40))
    return Finished(workplace, trained(workplace))


def test_the_model_learns_and_the_adapter_is_what_peft_reads(finished: Finished) -> None:
    workplace, result = finished.workplace, finished.result
    assert len(losses(workplace)) == result.training.steps == 10
    assert losses(workplace)[-1] < losses(workplace)[0] / 2
    adapter = workplace.directory / result.adapter_path
    files = sorted(path.name for path in adapter.iterdir())
    assert files == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert result.training.adapter_digest == folder_digest(adapter)
    base = AutoModelForCausalLM.from_pretrained(workplace.model)
    tokens = torch.tensor([list(Tokenizer.load(workplace.model).encode_question("What are the earnings per share?"))])
    with torch.no_grad():
        before = base(tokens).logits
        tuned = PeftModel.from_pretrained(base, adapter)
        assert not torch.allclose(tuned(tokens).logits, before)


def test_the_summary_says_what_the_training_took(finished: Finished) -> None:
    workplace, summary = finished.workplace, finished.result.training
    assert summary.final_loss == f"{sum(losses(workplace)[-10:]) / 10:.4f}"
    assert summary.validation_loss is not None
    assert 0 < float(summary.validation_loss) < losses(workplace)[0]
    assert float(summary.hours) > 0
    assert float(summary.tokens_per_second) > 0
    assert summary.peak_memory_bytes > 50 * 2**20
    assert (summary.energy_kwh, summary.energy_note) == (None, "not measured: no GPU")


def test_progress_tells_step_loss_speed_and_remaining_time(finished: Finished) -> None:
    events = finished.workplace.events
    stages = [event["stage"] for event in events if event["event"] == "stage"]
    assert stages[-5:] == [
        "loading the base model",
        "validating the base model",
        "training",
        "validating",
        "writing the adapter",
    ]
    training = [event for event in events if event["event"] == "progress" and event["stage"] == "training"]
    assert [event["step"] for event in training] == list(range(11))
    assert {"loss", "tokensPerSecond", "etaSeconds"} <= training[5].keys()


def test_a_finished_training_is_found_and_not_repeated(finished: Finished) -> None:
    workplace, result = finished.workplace, finished.result
    said_before = workplace.said.getvalue()
    assert step.run(workplace.train_order(), workplace.reporter) == result
    again = prepare_training.run(workplace.prepare_order(), workplace.reporter)
    assert again.trained == result
    assert workplace.said.getvalue() == said_before


def test_a_finished_training_is_found_however_it_was_cut_up(workplace: Workplace) -> None:
    result = trained(workplace)
    portions = TRAINING | {"micro_batch_size": 2, "checkpoint_every_steps": 3}
    assert prepare_training.run(workplace.prepare_order(training=portions), workplace.reporter).trained == result
    longer = TRAINING | {"epochs": 3}
    assert prepare_training.run(workplace.prepare_order(training=longer), workplace.reporter).trained is None


def test_checkpoints_are_removed_when_the_adapter_is_safe(finished: Finished) -> None:
    assert sorted(path.name for path in finished.workplace.directory.iterdir()) == ["prepare", "tensorboard", "train"]


def test_the_same_training_gives_the_same_adapter(workplace: Workplace, finished: Finished) -> None:
    assert trained(workplace).training.adapter_digest == finished.result.training.adapter_digest


def test_another_seed_gives_another_adapter(workplace: Workplace, finished: Finished) -> None:
    other = trained(workplace, training=TRAINING | {"seed": 43})
    assert other.training.adapter_digest != finished.result.training.adapter_digest


@pytest.mark.parametrize("quantization", [Quantization.NF4, Quantization.INT8])
def test_a_quantized_model_learns_with_a_32_bit_adapter(workplace: Workplace, quantization: Quantization) -> None:
    result = trained(workplace, method=Method.QLORA, quantization=quantization)
    assert losses(workplace)[-1] < losses(workplace)[0] * 0.7
    weights = load_file(workplace.directory / result.adapter_path / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_all_linear_layers_can_be_targeted_at_once(workplace: Workplace) -> None:
    result = trained(workplace, lora={"target_modules": ["all-linear"], "rank": 4})
    weights = load_file(workplace.directory / result.adapter_path / "adapter_model.safetensors")
    layers = {name.split(".lora_")[0].rpartition(".")[2] for name in weights}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert {4} == {min(tensor.shape) for tensor in weights.values()}


def test_the_adapter_names_its_base_model_by_the_path_in_the_volume(finished: Finished) -> None:
    folder = finished.workplace.directory / finished.result.adapter_path
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"


def test_a_loss_that_is_not_finite_is_never_registered(workplace: Workplace, own_model: Path) -> None:
    weights = load_file(own_model / "model.safetensors")
    weights["lm_head.weight"][5] = float("nan")
    save_file(weights, own_model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NonFiniteLoss, match="not a finite number before anything was learnt") as caught:
        trained(workplace)
    with pytest.raises(NonFiniteLoss, match="not finite in 3 steps in a row, from step 1, and so after 2 rollbacks"):
        trained(workplace, validation_fraction="0")
    assert caught.value.exit_code is ExitCode.NON_FINITE_LOSS
    assert not (workplace.directory / "train").exists()


def test_a_training_that_was_not_prepared_is_the_volumes_fault(workplace: Workplace) -> None:
    with pytest.raises(InfrastructureError, match="prepare is missing or damaged"):
        step.run(workplace.train_order(), workplace.reporter)


def test_a_base_model_that_changed_meanwhile_is_refused(workplace: Workplace, own_model: Path) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    config = own_model / "config.json"
    config.write_text(config.read_text().replace("silu", "gelu"))
    with pytest.raises(UserError, match="changed after the training was prepared") as caught:
        step.run(workplace.train_order(), workplace.reporter)
    assert caught.value.reason is Reason.CONTENT_CHANGED


def test_a_gpu_that_is_not_there_is_a_device_failure(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FINETUNE_COMPUTE", raising=False)
    with pytest.raises(InfrastructureError, match="a GPU was asked for") as caught:
        trained(workplace, gpus=1)
    assert caught.value.reason is Reason.DEVICE_FAILED


def test_a_test_device_may_compute_on_the_cpu(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_COMPUTE", "cpu")
    assert trained(workplace, gpus=1).training.energy_note == "not measured: no GPU"
