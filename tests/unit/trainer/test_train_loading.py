"""A base model that is not whole is never completed at random: neither to be trained, nor to be evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from evaluation_desk import Desk, write_suite
from safetensors.torch import load_file, save_file
from workplaces import Workplace, trained

from finetune_api.conditions import Reason
from finetune_api.quantization import Precision, Quantization
from finetune_trainer.failures import UserError
from finetune_trainer.train.devices import HOST_MEMORY
from finetune_trainer.train.model import load_base_model

Weights = dict[str, torch.Tensor]
NORM = "model.layers.1.input_layernorm.weight"
QUERY = "model.layers.0.self_attn.q_proj.weight"


def change(folder: Path, act: Callable[[Weights], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    act(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def drop(name: str) -> Callable[[Weights], object]:
    return lambda weights: weights.pop(name)


def halve(name: str) -> Callable[[Weights], object]:
    return lambda weights: weights.update({name: weights[name][:32].contiguous()})


def refused(folder: Path, quantization: Quantization) -> str:
    with pytest.raises(UserError) as caught:
        load_base_model(folder, quantization, Precision.FLOAT32, HOST_MEMORY)
    assert caught.value.reason is Reason.MODEL_INVALID
    return caught.value.message


@pytest.mark.parametrize("quantization", Quantization)
@pytest.mark.parametrize(
    ("act", "said"),
    [
        (drop(NORM), f"spec.baseModel: the base model lacks 1 weights, such as {NORM}; copy the model's folder anew"),
        (drop(QUERY), f"lacks 1 weights, such as {QUERY}"),
        (
            halve(NORM),
            f"1 weights of the base model are not of the size that config.json tells of, such as {NORM}: [32]",
        ),
        (halve(QUERY), f"such as {QUERY}: [32, 64], not [64, 64]; copy the model's folder anew"),
    ],
    ids=["norm missing", "matrix missing", "norm too small", "matrix too small"],
)
def test_weights_that_are_missing_or_of_another_size_are_named(
    own_model: Path, quantization: Quantization, act: Callable[[Weights], object], said: str
) -> None:
    change(own_model, act)
    assert said in refused(own_model, quantization)


def test_an_output_layer_that_is_the_embedding_is_not_missing(own_model: Path) -> None:
    change(own_model, drop("lm_head.weight"))
    config = json.loads((own_model / "config.json").read_text()) | {"tie_word_embeddings": True}
    (own_model / "config.json").write_text(json.dumps(config))
    model = load_base_model(own_model, Quantization.NONE, Precision.FLOAT32, HOST_MEMORY)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_training_names_the_field_of_the_manifest(workplace: Workplace, own_model: Path) -> None:
    """What `prepare` cannot know: which weights there are besides the matrices."""
    change(own_model, drop(NORM))
    with pytest.raises(UserError) as caught:
        trained(workplace)
    assert caught.value.message.startswith("spec.baseModel.persistentVolumeClaim.path: the base model lacks 1 weights")
    assert not (workplace.directory / "train").exists()


def test_an_evaluation_names_the_field_of_the_manifest(tmp_path: Path, own_model: Path) -> None:
    change(own_model, drop(NORM))
    write_suite(tmp_path / "suite")
    desk = Desk(tmp_path, own_model, tmp_path / "suite")
    with pytest.raises(UserError) as caught:
        desk.evaluate()
    assert caught.value.message.startswith("spec.model.baseModel: the base model lacks 1 weights")
