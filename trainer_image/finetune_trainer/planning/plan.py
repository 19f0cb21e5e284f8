"""What is decided before a GPU is asked for: the form of the weights, the portions, the steps, the hours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from finetune_api.orders import PrepareTrainingOrder
from finetune_api.planning import TrainingPlan
from finetune_api.quantization import Precision
from finetune_trainer.cpu_features import multiplies_bfloat16
from finetune_trainer.planning.attention import check_device
from finetune_trainer.planning.decision import Decision, Situation, decide, dimensions_of
from finetune_trainer.planning.demand import Demand, demand_of
from finetune_trainer.planning.dimensions import (
    ModelDimensions,
    UnknownTargetError,
    UnplannableModelError,
    default_attention,
    read_dimensions,
)
from finetune_trainer.planning.host_memory import check_host_memory
from finetune_trainer.planning.method import method_of
from finetune_trainer.planning.steps import Lengths, Steps, count_steps
from finetune_trainer.planning.throughput import Forecast
from finetune_trainer.target_modules import ALL_LINEAR


def make_plan(
    order: PrepareTrainingOrder, config: Mapping[str, Any], lengths: Lengths, base_model_digest: str | None
) -> TrainingPlan:
    """The plan for training examples of these lengths; `config` is the base model's config.json.

    UserError where the spec contradicts itself, the portions do not divide, or no known GPU has the memory.
    """
    steps = count_steps(order.training, lengths, max(1, order.gpus) * order.nodes)
    demand = demand_of(
        order.lora,
        order.training,
        method=order.method,
        quantization=order.quantization,
        precision=default_precision(order.gpus),
        attention=default_attention(config),
        gpus=order.gpus,
        nodes=order.nodes,
        rows_per_step=steps.rows_per_step,
        longest=lengths.longest,
    )
    check_device(demand.attention, demand.precision, has_gpu=order.gpus > 0)
    situation = Situation(order.gpu_classes, order.measured, base_model_digest, order.guard)
    model = dimensions_of(config, order.base_model.manifest_field) if order.gpus else _as_far_as_known(config)
    demand = _with_known_targets(demand, model)
    decision = decide(model, demand, situation)
    if model is not None:
        check_host_memory(model, demand, decision.choice, order.memory)
    forecast = situation.forecast(decision, demand, lengths.tokens * order.training.epochs)
    return _assembled(demand, decision, steps, forecast, situation.guard_note(decision, demand))


def _as_far_as_known(config: Mapping[str, Any]) -> ModelDimensions | None:
    """A CPU trains models, too, of which nothing can be planned."""
    try:
        return read_dimensions(config)
    except UnplannableModelError:
        return None


def _with_known_targets(demand: Demand, model: ModelDimensions | None) -> Demand:
    """The targets were found among the weights: where config.json does not tell their sizes, all layers' are taken."""
    try:
        if model is not None:
            model.targets(demand.targets)
    except UnknownTargetError:
        return replace(demand, targets=(ALL_LINEAR,))
    return demand


def default_precision(gpus: int) -> Precision:
    return Precision.BFLOAT16 if gpus or multiplies_bfloat16() else Precision.FLOAT32


def _assembled(
    demand: Demand, decision: Decision, steps: Steps, forecast: Forecast, guard_note: str | None
) -> TrainingPlan:
    choice = decision.choice
    method, quantization = method_of(choice.quantization)
    return TrainingPlan(
        method=method,
        quantization=quantization,
        precision=demand.precision,
        micro_batch_size=choice.micro_batch_size,
        gradient_accumulation=decision.accumulation,
        steps=steps.total,
        steps_per_epoch=steps.per_epoch,
        activation_checkpointing=choice.checkpointing,
        attention=demand.attention,
        packing=demand.packing,
        rows_per_step=steps.rows_per_step if demand.packing else None,
        rows_note=steps.note,
        gpus=demand.gpus,
        nodes=demand.nodes,
        sharding=choice.sharding,
        memory=decision.memory,
        gpu_product=decision.gpu.product if decision.gpu else None,
        minimum_gpu_memory_mib=decision.minimum_gpu_memory_mib,
        hours=None if forecast.hours is None else f"{forecast.hours:.2f}",
        energy_kwh=None if forecast.energy_kwh is None else f"{forecast.energy_kwh:.2f}",
        hours_note=forecast.note,
        guard_note=guard_note,
    )
