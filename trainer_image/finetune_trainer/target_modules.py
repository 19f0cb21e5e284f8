"""Which linear layers a model has, told from the names of its weights."""

from __future__ import annotations

import re
from collections.abc import Sequence

from finetune_api.conditions import Reason
from finetune_trainer.failures import UserError
from finetune_trainer.safetensors_headers import Shapes

ALL_LINEAR = "all-linear"
"""Given alone, it stands for every linear layer but the output layer."""
_WEIGHT = ".weight"
_IN_A_LAYER = re.compile(r"\.\d+\.")


def is_named(name: str, target: str) -> bool:
    """Whether a target module stands for the layer of this whole name, as peft decides it: by the end of its path."""
    return name == target or name.endswith(f".{target}")


def check_target_modules(wanted: Sequence[str], shapes: Shapes) -> None:
    """UserError (OrderInvalid) when the model has no such layers, with those that it has."""
    if tuple(wanted) == (ALL_LINEAR,):
        return
    linear = [name.removesuffix(_WEIGHT) for name, shape in shapes.items() if _is_linear(name, shape)]
    missing = [target for target in wanted if not any(is_named(name, target) for name in linear)]
    if missing:
        there = sorted({name.rpartition(".")[2] for name in linear})
        raise UserError(Reason.ORDER_INVALID, missing_targets(missing, there))


def missing_targets(missing: Sequence[str], there: Sequence[str]) -> str:
    """What is said about target modules that are no linear layer of the model's, which has others."""
    return (
        f"spec.lora.targetModules: the model has no linear layer called {', '.join(missing)}; it has "
        f"{', '.join(there)} (or give {ALL_LINEAR} alone)"
    )


def check_rank(rank: int, wanted: Sequence[str], shapes: Shapes) -> None:
    """UserError (OrderInvalid) when the rank is larger than a layer that gets an adapter: that would be no low rank."""
    for name, shape in shapes.items():
        layer = name.removesuffix(_WEIGHT)
        is_target = tuple(wanted) == (ALL_LINEAR,) or any(is_named(layer, target) for target in wanted)
        if is_target and _is_linear(name, shape) and rank > min(shape):
            raise UserError(
                Reason.ORDER_INVALID,
                f"spec.lora.rank: {rank} is larger than the layer {layer} of {shape[0]} x {shape[1]}: set at most "
                f"{min(shape)}, or leave the layer out of spec.lora.targetModules",
            )


def _is_linear(name: str, shape: tuple[int, ...]) -> bool:
    """Matrices in the repeated layers: not embeddings, not the output layer, not norms."""
    return len(shape) == 2 and name.endswith(_WEIGHT) and _IN_A_LAYER.search(name) is not None
