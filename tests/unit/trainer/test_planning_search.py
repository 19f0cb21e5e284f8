"""Which form of a training is chosen for which GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_subjects import A100, demand, gpu, measurement, model, model_of_20b, situation

from finetune_api.conditions import Reason
from finetune_api.guard import Guard
from finetune_api.quantization import Attention, Method, Precision, Quantization, Sharding
from finetune_trainer.failures import UserError
from finetune_trainer.planning.decision import Decision, Situation, decide
from finetune_trainer.planning.demand import Choice, Demand
from finetune_trainer.planning.memory import estimate, total
from finetune_trainer.planning.search import memory_of

GUARD = Guard(max_temperature_celsius=80)


def decided(*gpus: Any, is_guarded: bool = False, measured: tuple[Any, ...] = (), **changes: Any) -> Decision:
    return decide(model(), demand(**changes), situation(*gpus, measured=measured, guard=GUARD if is_guarded else None))


def form(choice: Choice) -> tuple[Quantization, bool]:
    return choice.quantization, choice.checkpointing


@pytest.mark.parametrize(
    ("gibibytes", "chosen"),
    [
        (80, (Quantization.NONE, False)),
        (40, (Quantization.NONE, False)),
        (24, (Quantization.NONE, True)),
        (18, (Quantization.NF4, True)),
        (10, (Quantization.NF4, True)),
    ],
)
def test_the_fastest_form_that_fits_is_taken(gibibytes: float, chosen: tuple[Quantization, bool]) -> None:
    assert form(decided(gpu(gibibytes)).choice) == chosen


def test_the_order_is_lora_with_and_without_checkpointing_then_qlora() -> None:
    forms = [form(choice) for choice in demand().choices()]
    none, nf4 = Quantization.NONE, Quantization.NF4
    assert forms == [(none, False), (none, True), (nf4, False), (nf4, True)]


def test_qlora_keeps_its_activations_where_they_fit() -> None:
    # Short rows of a model with few layers kept: quantized weights leave room for all activations.
    assert form(decided(gpu(12), length=256).choice) == (Quantization.NF4, False)


@pytest.mark.parametrize("checkpointing", [True, False])
def test_pinned_checkpointing_is_kept(checkpointing: bool) -> None:
    assert decided(gpu(80), checkpointing=checkpointing).choice.checkpointing is checkpointing


@pytest.mark.parametrize(
    ("method", "quantization", "chosen"),
    [
        (Method.LORA, None, Quantization.NONE),
        (Method.QLORA, None, Quantization.NF4),
        (Method.QLORA, Quantization.INT8, Quantization.INT8),
        (Method.AUTO, Quantization.NF4, Quantization.NF4),
    ],
)
def test_a_pinned_method_is_kept(method: Method, quantization: Quantization | None, chosen: Quantization) -> None:
    assert decided(gpu(80), method=method, quantization=quantization).choice.quantization is chosen


def test_a_pinned_micro_batch_is_kept_and_the_rest_gives_way() -> None:
    decision = decided(gpu(32), micro_batch_size=16)
    assert (decision.choice.micro_batch_size, decision.accumulation) == (16, 1)
    assert form(decision.choice) == (Quantization.NF4, True)


def test_wider_numbers_and_eager_attention_take_more() -> None:
    def peak(**changes: Any) -> int:
        decision = decided(gpu(200), method=Method.LORA, checkpointing=True, micro_batch_size=1, **changes)
        assert decision.memory is not None
        return decision.memory.peak_bytes

    assert peak(precision=Precision.FLOAT32) > 1.5 * peak()
    assert peak(attention=Attention.EAGER) > peak() > peak(attention=Attention.FLASH_ATTENTION_2)


def test_the_smallest_gpu_that_suffices_is_planned_for() -> None:
    decision = decided(gpu(80), gpu(40), gpu(16))
    assert decision.gpu == gpu(40)
    assert decision.minimum_gpu_memory_mib is not None
    assert 16 * 1024 < decision.minimum_gpu_memory_mib <= 40 * 1024


def test_a_gpu_whose_memory_others_take_of_is_not_planned_for() -> None:
    assert decided(gpu(40, shared=True), gpu(80)).gpu == gpu(80)
    with pytest.raises(UserError) as caught:
        decided(gpu(40, shared=True, product="Tesla-T4-SHARED"))
    assert caught.value.reason is Reason.SHARED_GPU
    assert str(caught.value) == (
        "spec.resources: all GPUs that it allows are shared: Tesla-T4-SHARED by time slicing or MPS, where other pods "
        "take of the memory that is planned: let nodeSelector allow nodes with whole GPUs or MIG slices, or turn the "
        "sharing off on one of these nodes"
    )


SLICE = gpu(40, product="NVIDIA-A100-SXM4-80GB-MIG-3g.40gb", nodes=2)


def test_one_process_may_have_a_mig_slice_and_several_may_not() -> None:
    assert decided(SLICE, gpu(80)).gpu == SLICE
    whole = gpu(80, gpus_per_node=2)
    assert decided(SLICE, whole, gpus=2).gpu == whole
    with pytest.raises(UserError, match=r"by MIG, whose slices cannot work together: set gpus: 1 and nodes: 1, or"):
        decided(SLICE, nodes=2)
    assert decided(SLICE.model_copy(update={"shared": True}), gpu(80)).gpu == gpu(80)


def test_what_is_too_small_says_which_gpus_were_left_out() -> None:
    with pytest.raises(UserError, match=r"with 4\.0 GiB \(without Tesla-T4-SHARED, whose memory no training has to it"):
        decided(gpu(4), gpu(80, shared=True, product="Tesla-T4-SHARED"))


def test_nodes_with_too_few_gpus_are_left_out() -> None:
    decision = decided(gpu(40), gpu(80, gpus_per_node=2), gpus=2)
    assert decision.gpu == gpu(80, gpus_per_node=2)


def test_without_a_known_gpu_nothing_is_ruled_out() -> None:
    decision = decided()
    assert decision.choice.checkpointing
    assert decision.memory is not None
    assert (decision.memory.limit_bytes, decision.gpu, decision.minimum_gpu_memory_mib) == (None, None, None)


def test_on_the_cpu_nothing_is_said_about_memory() -> None:
    decision = decide(None, demand(gpus=0, length=128), situation())
    assert decision.memory is None
    assert (decision.choice.micro_batch_size, decision.accumulation) == (16, 1)
    assert form(decision.choice) == (Quantization.NONE, False)


def test_each_of_several_gpus_holds_the_model_where_it_fits() -> None:
    decision = decided(gpu(24, gpus_per_node=4, nodes=2), gpus=4, nodes=2)
    assert decision.choice.sharding is Sharding.DDP
    assert decision.choice.micro_batch_size * decision.accumulation * 8 == 16


def test_a_model_that_no_gpu_can_hold_is_shared_out() -> None:
    large, several = model_of_20b(), gpu(24, gpus_per_node=8)
    wanted = demand(gpus=8, method=Method.LORA)
    decision = decide(large, wanted, situation(several))
    assert decision.choice.sharding is Sharding.FSDP
    weights = estimate(large, wanted.setup(decision.choice)).weights
    whole = estimate(large, replace(wanted, gpus=1).setup(replace(decision.choice, sharding=Sharding.NONE))).weights
    gathered = weights - whole // 8
    assert 0 < gathered < whole // 8


def test_8_bit_weights_are_never_shared_out() -> None:
    choices = demand(gpus=4, method=Method.QLORA, quantization=Quantization.INT8).choices()
    assert {choice.sharding for choice in choices} == {Sharding.DDP}


def test_with_a_guard_a_micro_batch_takes_3_seconds_at_most() -> None:
    card = gpu(80, product=A100)
    slow = tuple(measurement(tokens_per_second="1000") for _ in range(3))
    assert decided(card, measured=slow, length=512).choice.micro_batch_size * 512 > 3000
    decision = decided(card, measured=slow, is_guarded=True, length=512)
    assert decision.choice.micro_batch_size == 4  # 2048 tokens take 2.05 s, and 8 rows would take 4.1 s


@pytest.mark.parametrize(
    ("pinned", "length", "remedy"),
    [(8, 512, "set at most 4"), (1, 4096, "lower spec.training.sequenceLength"), (4, 512, None)],
)
def test_a_pinned_micro_batch_that_a_guard_cannot_hold_is_told(pinned: int, length: int, remedy: str | None) -> None:
    """At 1000 tokens a second."""
    known = situation(gpu(80, product=A100), measured=(measurement(tokens_per_second="1000"),), guard=GUARD)
    asked = demand(micro_batch_size=pinned, length=length)
    note = known.guard_note(decide(model(), asked, known), asked)
    assert note is None if remedy is None else note is not None and note.endswith(remedy)
    if note is not None:
        rows = f"{pinned} rows of {length} tokens take" if pinned > 1 else f"one row of {length} tokens takes"
        assert note.startswith(f"spec.training.microBatchSize: {rows} about 4.1 s")


@pytest.mark.parametrize("length", [3000, 3100])
def test_a_row_that_a_guard_cannot_hold_is_told_where_nothing_is_pinned(length: int) -> None:
    """At 1000 tokens a second."""
    known = situation(gpu(80, product=A100), measured=(measurement(tokens_per_second="1000"),), guard=GUARD)
    asked = demand(length=length)
    note = known.guard_note(decide(model(), asked, known), asked)
    assert (note is None) is (length == 3000)
    if note is not None:
        assert note.startswith("one row of 3100 tokens takes about 3.1 s, and a guard can only rest between")
        assert note.endswith(": lower spec.training.sequenceLength")


@pytest.mark.parametrize("cards", [(gpu(80),), ()])
def test_without_a_known_speed_a_guard_caps_by_a_cautious_one(cards: tuple[Any, ...]) -> None:
    assert decided(*cards, length=512).choice.micro_batch_size >= 8
    guarded = decided(*cards, is_guarded=True, length=512).choice.micro_batch_size
    weights = 8.03e9
    assert guarded * 512 * 6 * weights / 30e12 <= 3 < 2 * guarded * 512 * 6 * weights / 30e12


@pytest.mark.parametrize("cards", [(gpu(80),), ()])
def test_a_guard_leaves_a_micro_batch_one_row(cards: tuple[Any, ...]) -> None:
    assert decided(*cards, is_guarded=True, length=8192).choice.micro_batch_size == 1


def test_a_cap_is_told_as_no_speed() -> None:
    decision = decided(gpu(80), is_guarded=True)
    assert situation(gpu(80), guard=GUARD).forecast(decision, demand(), 1000).hours is None


def test_where_no_gpu_is_known_a_large_model_is_shared_out() -> None:
    def sharding(**changes: Any) -> Sharding:
        return decide(model_of_20b(), demand(gpus=4, **changes), situation()).choice.sharding

    # 23B weights: 47 GB in bfloat16, 15 GB in nf4.
    assert sharding() is Sharding.FSDP
    assert sharding(checkpointing=False) is Sharding.FSDP
    assert sharding(method=Method.QLORA) is Sharding.DDP


def test_8_bit_weights_are_not_shared_out_however_large_they_are() -> None:
    larger = replace(model_of_20b(), layers=120)
    wanted = demand(gpus=4, method=Method.QLORA, quantization=Quantization.INT8)
    decision = decide(larger, wanted, situation())
    assert decision.memory is not None and decision.memory.parts.weights > 60e9
    assert decision.choice.sharding is Sharding.DDP


def test_where_no_gpu_is_known_a_small_model_is_whole_on_each() -> None:
    assert decided(gpus=4).choice.sharding is Sharding.DDP
    assert decide(model_of_20b(), demand(gpus=1), situation()).choice.sharding is Sharding.NONE


def test_a_measured_peak_corrects_the_next_plan() -> None:
    card = gpu(80, product=A100)
    plain = decided(card)
    assert plain.memory is not None
    planned = plain.memory.peak_bytes
    lesson = measurement(planned_peak_bytes=planned, peak_memory_bytes=int(planned * 1.1))
    corrected = decided(card, measured=(lesson,), micro_batch_size=plain.choice.micro_batch_size).memory
    assert corrected is not None
    assert corrected.correction is not None
    assert corrected.peak_bytes == pytest.approx(planned * float(corrected.correction), rel=0.01)
    assert corrected.parts.weights == plain.memory.parts.weights


demands = st.builds(
    demand,
    rank=st.sampled_from([4, 16, 64]),
    method=st.sampled_from(Method),
    precision=st.sampled_from(Precision),
    attention=st.sampled_from([Attention.SDPA, Attention.FLASH_ATTENTION_2]),
    checkpointing=st.sampled_from([None, True, False]),
    rows_per_step=st.sampled_from([4, 8, 12, 16]),
    length=st.integers(16, 8192),
    packing=st.booleans(),
    gpus=st.sampled_from([1, 2, 4]),
)
cards = st.lists(st.sampled_from([8, 12, 16, 24, 40, 48, 80]), min_size=1, max_size=3)


def known(gibibytes: list[int]) -> Situation:
    return situation(*(gpu(size, gpus_per_node=4) for size in gibibytes))


@settings(deadline=None)
@given(demands, cards)
def test_an_accepted_plan_fits_with_its_reserve_and_keeps_the_batch(wanted: Demand, gibibytes: list[int]) -> None:
    try:
        decision = decide(model(), wanted, known(gibibytes))
    except UserError:
        return
    assert decision.memory is not None and decision.gpu is not None
    assert decision.memory.limit_bytes == memory_of(decision.gpu)
    assert decision.memory.peak_bytes + (decision.memory.reserve_bytes or 0) <= memory_of(decision.gpu)
    assert total(decision.memory.parts) == decision.memory.peak_bytes
    assert decision.choice.micro_batch_size * decision.accumulation * wanted.ranks == wanted.rows_per_step


@settings(deadline=None)
@given(demands, cards)
def test_no_form_that_comes_before_the_chosen_one_would_fit(wanted: Demand, gibibytes: list[int]) -> None:
    try:
        chosen = decide(model(), wanted, known(gibibytes)).choice
    except UserError:
        return
    for faster in wanted.choices():
        if faster == replace(chosen, micro_batch_size=1):
            return
        parts = estimate(model(), wanted.setup(faster))
        assert total(parts) > 0.82 * max(gibibytes) * 2**30 or total(parts) + 1.5 * 2**30 > max(gibibytes) * 2**30
    pytest.fail("the chosen form is none of those that the spec leaves open")


@settings(deadline=None)
@given(demands, st.sampled_from([12, 16, 24, 40]))
def test_a_larger_gpu_never_gets_a_slower_form(wanted: Demand, gibibytes: int) -> None:
    forms = [replace(choice, micro_batch_size=1) for choice in wanted.choices()]

    def place(size: int) -> int:
        try:
            chosen = decide(model(), wanted, known([size])).choice
        except UserError:
            return len(forms)
        return forms.index(replace(chosen, micro_batch_size=1))

    assert place(2 * gibibytes) <= place(gibibytes)
