"""The rules that reach over several fields, as the CRD has them: the first that a spec breaks, in the CRD's words."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from finetune_api.finetunejob import FineTuneJobSpec
from finetune_api.quantization import Method, Quantization

Rule = Callable[[FineTuneJobSpec], str | None]


def broken_rule(spec: FineTuneJobSpec) -> str | None:
    """What is wrong and what to do about it; None where nothing is."""
    return next((message for rule in _RULES if (message := rule(spec)) is not None), None)


def _base_model_has_one_source(spec: FineTuneJobSpec) -> str | None:
    if spec.base_model.persistent_volume_claim is None:
        return "spec.baseModel: persistentVolumeClaim must be given"
    return None


def _dataset_has_one_source(spec: FineTuneJobSpec) -> str | None:
    given = [spec.dataset.persistent_volume_claim, spec.dataset.config_map, spec.dataset.s3]
    if sum(source is not None for source in given) != 1:
        return "spec.dataset: exactly one of persistentVolumeClaim, configMap, s3 must be given"
    return None


def _decimals_are_numbers(spec: FineTuneJobSpec) -> str | None:
    bounded = {
        "spec.dataset.validationFraction": (spec.dataset.validation_fraction, "0", "0.5"),
        "spec.lora.dropout": (spec.lora.dropout, "0", "0.9"),
        "spec.training.learningRate": (spec.training.learning_rate, "0", "1"),
    }
    for field, (text, minimum, maximum) in bounded.items():
        if not _is_between(text, minimum, maximum):
            return f'{field}: must be a decimal number in quotes from {minimum} to {maximum}, not "{text}"'
    return None


def _is_between(text: str, minimum: str, maximum: str) -> bool:
    try:
        return Decimal(minimum) <= Decimal(text) <= Decimal(maximum)
    except InvalidOperation:
        return False


def _lora_does_not_quantize(spec: FineTuneJobSpec) -> str | None:
    if spec.method is Method.LORA and spec.quantization not in (None, Quantization.NONE):
        return (
            "spec.quantization: quantization int8 or nf4 needs method qlora or auto: set spec.method to one of them, "
            "or leave spec.quantization out"
        )
    return None


def _qlora_quantizes(spec: FineTuneJobSpec) -> str | None:
    if spec.method is Method.QLORA and spec.quantization is Quantization.NONE:
        return (
            "spec.quantization: method qlora needs quantization int8 or nf4: set spec.quantization to one of them or "
            "leave it out"
        )
    return None


def _micro_batch_divides(spec: FineTuneJobSpec) -> str | None:
    training = spec.training
    size = training.micro_batch_size
    # Packed, it is rows of a step that must divide, and how many there are follows from the dataset.
    if not training.packing and size is not None and training.effective_batch_size % size:
        return (
            "spec.training.microBatchSize: microBatchSize must divide effectiveBatchSize: change one of them, or leave "
            "microBatchSize out"
        )
    return None


def _early_stopping_has_something_to_watch(spec: FineTuneJobSpec) -> str | None:
    if spec.training.early_stopping is not None and Decimal(spec.dataset.validation_fraction) == 0:
        return (
            "spec.training.earlyStopping: earlyStopping watches the validation loss: set "
            "spec.dataset.validationFraction above 0"
        )
    return None


def _several_nodes_have_gpus(spec: FineTuneJobSpec) -> str | None:
    if spec.resources.nodes > 1 and spec.resources.gpus == 0:
        return "spec.resources.nodes: several nodes need GPUs: set spec.resources.gpus, or spec.resources.nodes: 1"
    return None


def _guard_has_a_limit(spec: FineTuneJobSpec) -> str | None:
    guard = spec.guard
    if guard is not None and guard.max_power_watts is None and guard.max_temperature_celsius is None:
        return "spec.guard: maxPowerWatts or maxTemperatureCelsius must be given, or guard be left out"
    return None


_RULES: tuple[Rule, ...] = (
    _base_model_has_one_source,
    _dataset_has_one_source,
    _decimals_are_numbers,
    _lora_does_not_quantize,
    _qlora_quantizes,
    _micro_batch_divides,
    _early_stopping_has_something_to_watch,
    _several_nodes_have_gpus,
    _guard_has_a_limit,
)
