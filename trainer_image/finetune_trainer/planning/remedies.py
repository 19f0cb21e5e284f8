"""The smallest change of the spec with which a training would fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from finetune_api.quantization import Attention, Method, Precision, Quantization
from finetune_trainer.planning.demand import Demand

_LENGTH_STEP = 64
_MOST_GPUS = 16

Fits = Callable[[Demand], bool]


@dataclass(frozen=True)
class Change:
    """What to write into the manifest, and the demand that it makes."""

    words: str
    demand: Demand


def smallest_change(demand: Demand, fits: Fits, gpus_per_node: int) -> str | None:
    """In words; None where no change of the spec would do. First what leaves the result as it is, then what does not.

    Where no single change is enough, everything that costs no accuracy of its own is done and the rest is searched.
    """
    for change in single_changes(demand, fits, gpus_per_node):
        if change is not None and fits(change.demand):
            return change.words
    combined = _all_free_changes(demand)
    if combined.demand == demand:
        return None
    if fits(combined.demand):
        return combined.words
    for change in (_shorter(combined.demand, fits), _more_gpus(combined.demand, fits, gpus_per_node)):
        if change is not None and fits(change.demand):
            return f"{combined.words} and {change.words}"
    return None


def single_changes(demand: Demand, fits: Fits, gpus_per_node: int) -> Iterator[Change | None]:
    """Those of one field, or of one and what it brings with it, the smallest first; None where a field has none."""
    yield from _free_changes(demand)
    yield _shorter(demand, fits)
    yield _lower_rank(demand, fits)
    yield _more_gpus(demand, fits, gpus_per_node)


def _free_changes(demand: Demand) -> Iterator[Change]:
    """Those that change how the same training is computed, or how exactly the frozen weights are kept."""
    if demand.checkpointing is False:
        yield Change("spec.training.activationCheckpointing: true", replace(demand, checkpointing=True))
    if demand.micro_batch_size is not None:
        smaller = (size for size in range(demand.micro_batch_size - 1, 0, -1) if demand.share % size == 0)
        for size in smaller:
            yield Change(f"spec.training.microBatchSize: {size}", replace(demand, micro_batch_size=size))
    if demand.attention is Attention.EAGER and not demand.only_eager:
        yield Change("spec.training.attention: sdpa", replace(demand, attention=Attention.SDPA))
    if demand.precision is Precision.FLOAT32:
        yield Change("spec.training.precision: bfloat16", replace(demand, precision=Precision.BFLOAT16))
    yield from _quantized(demand)


def _quantized(demand: Demand) -> Iterator[Change]:
    if demand.quantization is Quantization.INT8:
        yield Change("spec.quantization: nf4", replace(demand, quantization=Quantization.NF4))
    elif demand.method is Method.LORA or demand.quantization is Quantization.NONE:
        wanted = replace(demand, method=Method.QLORA, quantization=Quantization.NF4)
        method = "spec.method: qlora and " if demand.method is Method.LORA else ""
        yield Change(f"{method}spec.quantization: nf4", wanted)


def _all_free_changes(demand: Demand) -> Change:
    words: dict[str, str] = {}
    while True:
        changes = list(_free_changes(demand))
        if not changes:
            return Change(" and ".join(words.values()), demand)
        field = changes[0].words.partition(":")[0]
        change = [each for each in changes if each.words.startswith(f"{field}:")][-1]
        words[field], demand = change.words, change.demand


def _shorter(demand: Demand, fits: Fits) -> Change | None:
    """The longest sequence length that fits, in steps of 64."""
    low, high = 0, (demand.length - 1) // _LENGTH_STEP
    while low < high:
        middle = (low + high + 1) // 2
        if fits(replace(demand, length=middle * _LENGTH_STEP)):
            low = middle
        else:
            high = middle - 1
    if low == 0:
        return None
    length = low * _LENGTH_STEP
    return Change(f"spec.training.sequenceLength: {length}", replace(demand, length=length))


def _lower_rank(demand: Demand, fits: Fits) -> Change | None:
    rank = demand.rank // 2
    while rank >= 1:
        lower = replace(demand, rank=rank)
        if fits(lower):
            return Change(f"spec.lora.rank: {rank}", lower)
        rank //= 2
    return None


def _more_gpus(demand: Demand, fits: Fits, gpus_per_node: int) -> Change | None:
    """Weights that are shared out need several GPUs; the rows of a step must divide among them."""
    for gpus in range(demand.gpus + 1, min(_MOST_GPUS, gpus_per_node) + 1):
        if demand.rows_per_step % (gpus * demand.nodes) or not _divides(demand, gpus):
            continue
        more = replace(demand, gpus=gpus)
        if fits(more):
            return Change(f"spec.resources.gpus: {gpus}", more)
    return None


def _divides(demand: Demand, gpus: int) -> bool:
    share = demand.rows_per_step // (gpus * demand.nodes)
    return demand.micro_batch_size is None or share % demand.micro_batch_size == 0
