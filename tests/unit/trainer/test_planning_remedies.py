"""What is said where no GPU suffices: the smallest change of the spec with which one would."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_subjects import demand, gpu, model, situation

from finetune_api.conditions import Reason
from finetune_api.quantization import Attention, Method, Precision, Quantization
from finetune_trainer.failures import UserError
from finetune_trainer.planning.decision import decide
from finetune_trainer.planning.demand import Demand
from finetune_trainer.planning.remedies import single_changes, smallest_change
from finetune_trainer.planning.search import search


def refusal(gibibytes: float, gpus_per_node: int = 1, **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        decide(model(), demand(**changes), situation(gpu(gibibytes, gpus_per_node=gpus_per_node)))
    assert caught.value.reason is Reason.INSUFFICIENT_GPU_MEMORY
    return str(caught.value)


@pytest.mark.parametrize(
    ("gibibytes", "changes", "change"),
    [
        (24, {"method": Method.LORA, "checkpointing": False}, "set spec.training.activationCheckpointing: true"),
        (24, {"method": Method.QLORA, "micro_batch_size": 16, "length": 4096}, "set spec.training.microBatchSize: 4"),
        (16, {"method": Method.LORA}, "set spec.method: qlora and spec.quantization: nf4"),
        (12, {"method": Method.QLORA, "quantization": Quantization.INT8}, "set spec.quantization: nf4"),
        (
            16,
            {"method": Method.QLORA, "length": 8192, "attention": Attention.EAGER},
            "set spec.training.attention: sdpa",
        ),
        (24, {"method": Method.LORA, "precision": Precision.FLOAT32}, "set spec.training.precision: bfloat16"),
        (12, {"method": Method.QLORA, "length": 8192}, "set spec.training.sequenceLength: "),
    ],
)
def test_the_smallest_change_that_would_fit_is_named(gibibytes: float, changes: dict[str, Any], change: str) -> None:
    assert f": {change}" in refusal(gibibytes, **changes)


def test_several_gpus_are_named_where_the_nodes_have_them_and_nothing_else_helps() -> None:
    assert "set spec.resources.gpus: 2, or use a GPU" in refusal(8, gpus_per_node=4)


def test_an_attention_that_the_model_does_not_have_is_never_named() -> None:
    changes: dict[str, Any] = {"method": Method.QLORA, "length": 8192, "attention": Attention.EAGER}
    assert "spec.training.attention" not in refusal(16, **changes, only_eager=True)


def test_where_no_change_helps_the_gpu_that_would_is_named() -> None:
    message = refusal(4)
    assert "set spec" not in message
    assert "use a GPU with" in message and "GiB or more" in message


def test_numbers_are_told() -> None:
    message = refusal(4)
    assert "a peak of" in message and "weights 5." in message and "the largest GPU is GPU-4 with 4.0 GiB" in message


def test_the_named_sequence_length_is_the_longest_that_fits() -> None:
    message = refusal(12, method=Method.QLORA, length=8192)
    length = int(message.partition("sequenceLength: ")[2].partition(",")[0])
    decide(model(), demand(method=Method.QLORA, length=length), situation(gpu(12)))
    with pytest.raises(UserError):
        decide(model(), demand(method=Method.QLORA, length=length + 64), situation(gpu(12)))


demands = st.builds(
    demand,
    method=st.sampled_from([Method.LORA, Method.QLORA]),
    precision=st.sampled_from(Precision),
    attention=st.sampled_from([Attention.SDPA, Attention.EAGER]),
    checkpointing=st.sampled_from([None, False]),
    micro_batch_size=st.sampled_from([None, 1, 4]),
    length=st.sampled_from([512, 2048, 8192]),
)


@settings(deadline=None)
@given(demands, st.sampled_from([6, 8, 12, 16, 24]), st.sampled_from([1, 4]))
def test_what_is_named_would_fit_and_nothing_smaller_would(wanted: Demand, gibibytes: int, gpus_per_node: int) -> None:
    known, tried = situation(gpu(gibibytes, gpus_per_node=gpus_per_node)), list[tuple[Demand, bool]]()

    def fits(changed: Demand) -> bool:
        fit = search(model(), changed, known.gpus, known.experience, is_guarded=False)
        tried.append((changed, fit is not None))
        return tried[-1][1]

    if fits(wanted):
        return
    named = smallest_change(wanted, fits, gpus_per_node)
    if named is not None:
        assert tried[-1][1]
        assert tried[-1][0] != wanted
    candidates = [change for change in single_changes(wanted, fits, gpus_per_node) if change is not None]
    words = [change.words for change in candidates]
    smaller = candidates[: words.index(named)] if named in words else candidates
    assert not any(fits(change.demand) for change in smaller)
