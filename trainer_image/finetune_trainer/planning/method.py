"""Which form the base model's weights take, as far as the spec says."""

from __future__ import annotations

from finetune_api.conditions import Reason
from finetune_api.quantization import Method, Quantization
from finetune_trainer.failures import UserError


def resolve_method(method: Method, quantization: Quantization | None) -> tuple[Method, Quantization]:
    """lora keeps the weights as they are, qlora quantizes them; what is left open follows from the other.

    For method auto it is the form that is tried first. UserError (OrderInvalid) where the two contradict each other.
    """
    return method_of(possible_quantizations(method, quantization)[0])


def possible_quantizations(method: Method, quantization: Quantization | None) -> tuple[Quantization, ...]:
    """The forms that the spec leaves open, the fastest first. UserError (OrderInvalid) when it contradicts itself."""
    is_quantized = quantization not in (None, Quantization.NONE)
    if method is Method.LORA and is_quantized:
        raise UserError(Reason.ORDER_INVALID, "spec.quantization: method lora does not quantize; set method qlora")
    if method is Method.QLORA and quantization is Quantization.NONE:
        raise UserError(Reason.ORDER_INVALID, "spec.quantization: method qlora needs int8 or nf4")
    if quantization is not None:
        return (quantization,)
    if method is Method.AUTO:
        return Quantization.NONE, Quantization.NF4
    return (Quantization.NF4,) if method is Method.QLORA else (Quantization.NONE,)


def method_of(quantization: Quantization) -> tuple[Method, Quantization]:
    return (Method.LORA if quantization is Quantization.NONE else Method.QLORA), quantization
