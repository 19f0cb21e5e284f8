"""Whether a folder's weights are those that its config.json tells of: by their names and shapes, no weight is read.

A library that loads them makes up what is missing, at random and without an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_trainer.model_config import CONFIG_FILE, UnusableModelError
from finetune_trainer.planning.dimensions import ModelDimensions, UnplannableModelError, read_dimensions
from finetune_trainer.safetensors_headers import Shapes

_OF_QUANTIZED = (".qweight", ".qzeros", ".SCB", ".absmax", ".weight_packed", ".weight_scale", ".weight_scale_inv")
"""What AWQ and GPTQ, bitsandbytes (8 and 4 bits), compressed-tensors and FP8 call what they keep beside a weight."""
_EMBEDDINGS = ("embed_tokens.weight", "embed_in.weight", "word_embeddings.weight", "wte.weight")
_OUTPUT_LAYERS = ("lm_head.weight", "embed_out.weight")
_PARTS_OF_AN_END = 2
_PARTS_OF_A_MATRIX = 5
"""`layers.0.self_attn.q_proj.weight`: what goes before depends on what the model was saved as, or is a part of."""


@dataclass(frozen=True)
class _Described:
    """A weight that there must be, by one of its names' endings."""

    endings: tuple[str, ...]
    rows: int
    columns: int


def check_weights(config: Mapping[str, Any], shapes: Shapes) -> None:
    """UnusableModelError for weights that are quantized already, are missing, or are of other sizes. Where the model's
    layout is not known, the last two show when the model is loaded."""
    _refuse_quantized(shapes)
    try:
        dimensions = read_dimensions(config)
    except UnplannableModelError:
        return
    described = tuple(_described(dimensions))
    found = _by_ending(shapes)
    _refuse_missing([weight for weight in described if not _names(weight, found)], len(described))
    for weight in described:
        _check_shape(weight, {name: shapes[name] for name in _names(weight, found)})


def _refuse_quantized(shapes: Shapes) -> None:
    quantized = next((name for name in shapes if name.endswith(_OF_QUANTIZED)), None)
    if quantized is not None:
        raise UnusableModelError(
            f"the weights are already quantized (they hold {quantized}): give the model as it was published, in "
            "bfloat16 or float16, and let spec.quantization quantize it"
        )


def _described(dimensions: ModelDimensions) -> Iterator[_Described]:
    yield _Described(_EMBEDDINGS, dimensions.vocabulary, dimensions.hidden)
    for layer in range(dimensions.layers):
        for linear in dimensions.linears:
            ending = _ending(f"{dimensions.paths.of(linear, layer)}.weight", _PARTS_OF_A_MATRIX)
            yield _Described((ending,), linear.outputs, linear.inputs)
    if not dimensions.tied:
        yield _Described(_OUTPUT_LAYERS, dimensions.vocabulary, dimensions.hidden)


def _ending(name: str, parts: int) -> str:
    return ".".join(name.split(".")[-parts:])


def _by_ending(shapes: Shapes) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in shapes:
        for ending in {_ending(name, _PARTS_OF_AN_END), _ending(name, _PARTS_OF_A_MATRIX)}:
            found[ending].append(name)
    return found


def _names(weight: _Described, found: Mapping[str, list[str]]) -> list[str]:
    """Several where the model has a part that sees images, whose layers may be called the same."""
    return [name for ending in weight.endings for name in found.get(ending, ())]


def _refuse_missing(missing: list[_Described], expected: int) -> None:
    if missing:
        raise UnusableModelError(
            f"the weight files lack {len(missing)} of the {expected} matrices that {CONFIG_FILE} tells of, such as "
            f"{missing[0].endings[0]}: copy the model's folder anew, whole, with the {CONFIG_FILE} of its own"
        )


def _check_shape(weight: _Described, found: Shapes) -> None:
    """Some models keep their matrices transposed."""
    size = sorted((weight.rows, weight.columns))
    if any(sorted(shape) == size for shape in found.values()):
        return
    name, shape = next(iter(found.items()))
    raise UnusableModelError(
        f"the weight {name} is {' x '.join(map(str, shape))}, where {CONFIG_FILE} tells of {weight.rows} x "
        f"{weight.columns}: {CONFIG_FILE} is another model's; take it and the weights from the same folder"
    )
