"""The forms of a training that are to go on exactly where they were stopped or killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from workplaces import TRAINING, Workplace, prepared_with

from finetune_api.quantization import Method, Quantization
from finetune_api.results import TrainResult

DROPOUT = {"dropout": "0.1"}
_PACKED_TRAINING = TRAINING | {"sequence_length": 256, "packing": True, "checkpoint_every_steps": 2}
_TWO_ROWS_A_STEP = {"packing": True, "rows_per_step": 2, "micro_batch_size": 2, "gradient_accumulation": 1}


@dataclass(frozen=True)
class _Form:
    """How the base model's weights are kept, and what a row holds."""

    method: Method
    quantization: Quantization | None
    training: Mapping[str, Any]
    planned: Mapping[str, Any]
    """What is changed of the plan that is made for so small a model."""


class Form(Enum):
    LORA = _Form(Method.LORA, None, TRAINING, {})
    PACKED = _Form(Method.LORA, None, _PACKED_TRAINING, _TWO_ROWS_A_STEP)
    NF4 = _Form(Method.QLORA, Quantization.NF4, TRAINING, {})

    @property
    def settings(self) -> dict[str, Any]:
        """Of the order to train, with dropout."""
        return {"training": dict(self.value.training), "lora": DROPOUT}

    def prepare(self, workplace: Workplace) -> None:
        form = self.value
        prepared_with(workplace, form.planned, method=form.method, quantization=form.quantization, **self.settings)


Uninterrupted = Callable[[Form], tuple[Workplace, TrainResult]]
"""Trains in a form without interruption, once for all tests."""
