"""Whether two evaluations were made under the same conditions, so that the models are all that differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from finetune_trainer.evaluation.record import EvaluationRecord

_AGAIN = "Make a new Comparison, and both models are evaluated alike"
_SAME_DEVICE = (
    "Name one GPU model in spec.resources.nodeSelector (such as nvidia.com/gpu.product), delete the Evaluation that "
    "ran on the other, and make a new Comparison"
)
_CPU = "cpu"


@dataclass(frozen=True)
class Difference:
    """One condition that is not the same."""

    what: str
    one: str
    other: str
    remedy: str = _AGAIN


def differences(one: EvaluationRecord, other: EvaluationRecord) -> tuple[Difference, ...]:
    """The conditions in which two evaluations differ, the form of the model (base, adapter, quantization) left out.

    Prompts, chat template and attention are compared only where the base model is the same: another base model brings
    its own.
    """
    compared = [*_of_any(one, other), *_versions(one, other)]
    if one.content.base_model == other.content.base_model:
        compared += _of_one_base(one, other)
    return tuple(each for each in compared if each.one != each.other)


def _of_any(one: EvaluationRecord, other: EvaluationRecord) -> Iterator[Difference]:
    asked, asked_other = one.content, other.content
    yield Difference("decoding", _text(asked.decoding.to_manifest()), _text(asked_other.decoding.to_manifest()))
    yield Difference("version of the scorers", asked.scoring, asked_other.scoring)
    yield Difference("number format's rule", asked.precision_rule, asked_other.precision_rule)
    device = "device" if _CPU in (one.device, other.device) else "GPU model"
    yield Difference(device, one.device, other.device, _SAME_DEVICE)
    yield Difference("number format", one.precision, other.precision, _SAME_DEVICE)


def _versions(one: EvaluationRecord, other: EvaluationRecord) -> Iterator[Difference]:
    found, found_other = one.content.versions, other.content.versions
    for library in sorted(found.keys() | found_other.keys()):
        yield Difference(f"version of {library}", _text(found.get(library)), _text(found_other.get(library)))


def _of_one_base(one: EvaluationRecord, other: EvaluationRecord) -> Iterator[Difference]:
    yield Difference("chat template", _text(one.content.template), _text(other.content.template))
    yield Difference("prompts' bytes", one.content.prompts, other.content.prompts)
    yield Difference("attention kernel", _text(one.attention), _text(other.attention), _SAME_DEVICE)


def _text(value: object) -> str:
    return "none" if value is None else str(value)
