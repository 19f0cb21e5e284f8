"""How the plan follows from the order, the dataset and the device."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning_subjects import A100, DIGEST, LLAMA_8B, gpu, measurement
from workplaces import TRAINING, Workplace

from finetune_api.conditions import Reason
from finetune_api.orders import PrepareTrainingOrder
from finetune_api.planning import TrainingPlan
from finetune_api.quantization import Attention, Method, Precision, Quantization, Sharding
from finetune_trainer import cpu_features, prepare_training
from finetune_trainer.failures import UserError
from finetune_trainer.planning import Lengths, largest_divisor, make_plan, resolve_method


@pytest.mark.parametrize(
    ("method", "quantization", "resolved"),
    [
        (Method.AUTO, None, (Method.LORA, Quantization.NONE)),
        (Method.AUTO, Quantization.NONE, (Method.LORA, Quantization.NONE)),
        (Method.AUTO, Quantization.INT8, (Method.QLORA, Quantization.INT8)),
        (Method.AUTO, Quantization.NF4, (Method.QLORA, Quantization.NF4)),
        (Method.LORA, None, (Method.LORA, Quantization.NONE)),
        (Method.LORA, Quantization.NONE, (Method.LORA, Quantization.NONE)),
        (Method.QLORA, None, (Method.QLORA, Quantization.NF4)),
        (Method.QLORA, Quantization.INT8, (Method.QLORA, Quantization.INT8)),
    ],
)
def test_what_is_left_open_is_resolved(
    method: Method, quantization: Quantization | None, resolved: tuple[Method, Quantization]
) -> None:
    assert resolve_method(method, quantization) == resolved


@pytest.mark.parametrize(
    ("method", "quantization"), [(Method.LORA, Quantization.NF4), (Method.QLORA, Quantization.NONE)]
)
def test_what_contradicts_itself_is_refused(method: Method, quantization: Quantization) -> None:
    with pytest.raises(UserError, match=r"spec\.quantization") as caught:
        resolve_method(method, quantization)
    assert caught.value.reason is Reason.ORDER_INVALID


def plan(order: PrepareTrainingOrder, *, examples: int = 100, tokens: int = 93) -> TrainingPlan:
    return make_plan(order, LLAMA_8B, Lengths((tokens,) * examples), DIGEST)


@pytest.mark.parametrize(("longest", "micro_batch_size"), [(93, 16), (300, 4), (5000, 1)])
def test_long_examples_go_through_in_smaller_portions(
    workplace: Workplace, longest: int, micro_batch_size: int
) -> None:
    training = TRAINING | {"effective_batch_size": 16, "sequence_length": 8192}
    made = plan(workplace.prepare_order(training=training), tokens=longest)
    assert made.micro_batch_size == micro_batch_size
    assert made.gradient_accumulation == 16 // micro_batch_size
    assert made.steps == 14


def test_a_pinned_micro_batch_size_is_kept(workplace: Workplace) -> None:
    made = plan(workplace.prepare_order(training=TRAINING | {"micro_batch_size": 2}), examples=9)
    assert (made.micro_batch_size, made.gradient_accumulation, made.steps_per_epoch) == (2, 4, 2)


def test_a_pinned_micro_batch_size_must_divide_the_effective_one(workplace: Workplace) -> None:
    order = workplace.prepare_order(training=TRAINING | {"micro_batch_size": 3})
    with pytest.raises(UserError, match=r"spec\.training\.microBatchSize: 3 must divide the 8 rows"):
        prepare_training.run(order, workplace.reporter)


def test_several_gpus_share_a_step(workplace: Workplace) -> None:
    made = plan(workplace.prepare_order(gpus=2, nodes=2, gpu_classes=[gpu(80, gpus_per_node=2, nodes=2)]))
    assert made.sharding is Sharding.DDP
    assert made.micro_batch_size * made.gradient_accumulation * 4 == 8


def test_a_step_that_several_gpus_cannot_share_is_refused_before_the_dataset_is_read(workplace: Workplace) -> None:
    workplace.write_dataset(b"not JSON")
    with pytest.raises(UserError, match=r"spec\.training\.effectiveBatchSize: 8 cannot be shared evenly by 3 GPUs"):
        prepare_training.run(workplace.prepare_order(gpus=3), workplace.reporter)


def test_the_gpus_of_the_cluster_decide_the_form(workplace: Workplace) -> None:
    training = TRAINING | {"sequence_length": 2048}
    small = plan(workplace.prepare_order(gpus=1, gpu_classes=[gpu(10)], training=training), tokens=2048)
    large = plan(workplace.prepare_order(gpus=1, gpu_classes=[gpu(10), gpu(80)], training=training), tokens=2048)
    assert (small.method, small.activation_checkpointing) == (Method.QLORA, True)
    assert (large.method, large.activation_checkpointing) == (Method.LORA, False)
    assert large.gpu_product == "GPU-80"
    assert large.minimum_gpu_memory_mib is not None and large.minimum_gpu_memory_mib > 10 * 1024


def test_what_fits_no_gpu_fails_while_preparing(workplace: Workplace) -> None:
    order = workplace.prepare_order(gpus=1, gpu_classes=[gpu(4)])
    with pytest.raises(UserError, match=r"spec\.resources: the training needs .* GiB on each GPU") as caught:
        plan(order)
    assert caught.value.reason is Reason.INSUFFICIENT_GPU_MEMORY


@pytest.mark.parametrize(("gpus", "cards"), [(4, [gpu(14, gpus_per_node=4)]), (0, [])])
def test_host_memory_that_cannot_hold_the_weights_fails_while_preparing(
    workplace: Workplace, gpus: int, cards: list[Any]
) -> None:
    known = {"method": "lora", "gpus": gpus, "gpu_classes": cards}
    plan(workplace.prepare_order(**known, memory="130Gi"))
    with pytest.raises(UserError, match=r"spec\.resources\.memory: 8Gi, but .* set \d+Gi or more"):
        plan(workplace.prepare_order(**known, memory="8Gi"))


def test_packed_a_plan_tells_the_rows_of_a_step(workplace: Workplace) -> None:
    made = plan(workplace.prepare_order(training=TRAINING | {"packing": True}), examples=64, tokens=32)
    assert (made.rows_per_step, made.micro_batch_size * made.gradient_accumulation) == (2, 2)
    assert (made.steps_per_epoch, made.steps) == (8, 16)
    assert made.rows_note is not None and "a step takes 2" in made.rows_note


def test_packed_a_pinned_micro_batch_must_divide_the_rows_of_a_gpu(workplace: Workplace) -> None:
    def packed(size: int) -> TrainingPlan:
        training = TRAINING | {"packing": True, "micro_batch_size": size}
        return plan(workplace.prepare_order(training=training), examples=64, tokens=32)

    with pytest.raises(UserError, match=r"microBatchSize: 4 must divide the 2 packed rows of \d+ tokens of a step"):
        packed(4)
    assert packed(2).micro_batch_size == 2


def test_hours_follow_from_earlier_trainings(workplace: Workplace) -> None:
    card = gpu(80, product=A100)
    known = plan(workplace.prepare_order(gpus=1, gpu_classes=[card], measured=[measurement(mean_watts="300")]))
    unknown = plan(workplace.prepare_order(gpus=1, gpu_classes=[card]))
    assert known.hours == f"{100 * 93 * 2 / 2000 / 3600:.2f}"
    assert (unknown.hours, unknown.energy_kwh) == (None, None)
    assert unknown.hours_note is not None and "no finished training" in unknown.hours_note


def test_a_plan_is_made_of_what_the_spec_pins(workplace: Workplace) -> None:
    pins = {"precision": "float32", "attention": "eager", "activation_checkpointing": True}
    made = plan(workplace.prepare_order(training=TRAINING | pins))
    assert (made.precision, made.attention, made.activation_checkpointing) == (
        Precision.FLOAT32,
        Attention.EAGER,
        True,
    )


def test_flash_attention_that_the_image_does_not_carry_is_refused_before_the_dataset_is_read(
    workplace: Workplace,
) -> None:
    workplace.write_dataset(b"not JSON")
    order = workplace.prepare_order(gpus=1, training=TRAINING | {"attention": "flash_attention_2"})
    with pytest.raises(
        UserError, match=r"spec\.training\.attention: .* the package flash-attn, .*; set sdpa"
    ) as caught:
        prepare_training.run(order, workplace.reporter)
    assert caught.value.reason is Reason.ORDER_INVALID


@pytest.mark.parametrize(
    ("gpus", "precision", "missing"), [(0, "bfloat16", "a GPU"), (1, "float32", r"spec\.training\.precision: bfloat16")]
)
def test_flash_attention_is_refused_by_the_plan_where_it_cannot_compute(
    workplace: Workplace, gpus: int, precision: str, missing: str
) -> None:
    training = TRAINING | {"attention": "flash_attention_2"}
    with pytest.raises(UserError, match=rf"spec\.training\.attention: flash_attention_2 needs {missing}.*; set sdpa"):
        plan(workplace.prepare_order(gpus=gpus, training=training | {"precision": precision}))
    assert plan(workplace.prepare_order(gpus=1, training=training)).attention is Attention.FLASH_ATTENTION_2


def test_other_gpus_do_not_make_another_order_of_it(workplace: Workplace) -> None:
    first = prepare_training.run(workplace.prepare_order(), workplace.reporter)
    again = prepare_training.run(workplace.prepare_order(gpu_classes=[gpu(24)]), workplace.reporter)
    assert again == first


def test_examples_that_may_not_be_cut_are_refused_with_their_lengths(workplace: Workplace) -> None:
    order = workplace.prepare_order(training=TRAINING | {"sequence_length": 30, "overlong": "Refuse"})
    with pytest.raises(UserError, match=r"40 of 40 examples are longer than spec\.training\.sequenceLength") as caught:
        prepare_training.run(order, workplace.reporter)
    assert caught.value.reason is Reason.DATASET_INVALID
    assert caught.value.errors[0].startswith("line 1: ")


def test_a_rank_above_a_layers_size_is_refused(workplace: Workplace) -> None:
    order = workplace.prepare_order(lora={"rank": 33})
    with pytest.raises(UserError, match=r"spec\.lora\.rank: 33 is larger than the layer .* set at most 32"):
        prepare_training.run(order, workplace.reporter)


@pytest.mark.parametrize(
    ("information", "precision"),
    [
        ("processor: 0\nflags\t: fpu sse2 avx512f avx512_bf16 erms\n", Precision.BFLOAT16),
        ("processor: 0\nFeatures\t: fp asimd bf16 i8mm\n", Precision.BFLOAT16),
        ("processor: 0\nflags\t: fpu sse2 avx2\n", Precision.FLOAT32),
        ("", Precision.FLOAT32),
    ],
)
def test_a_cpu_computes_in_the_format_that_it_has_instructions_for(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, information: str, precision: Precision
) -> None:
    (tmp_path / "cpuinfo").write_text(information)
    multiplies_bfloat16 = partial(cpu_features.multiplies_bfloat16, tmp_path / "cpuinfo")
    monkeypatch.setattr("finetune_trainer.planning.plan.multiplies_bfloat16", multiplies_bfloat16)
    assert plan(workplace.prepare_order()).precision is precision
    assert plan(workplace.prepare_order(gpus=1)).precision is Precision.BFLOAT16


@pytest.mark.parametrize(("first", "then"), [(0, 1), (1, 0)])
def test_a_run_that_is_prepared_again_for_another_kind_of_node_keeps_its_precision(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, first: int, then: int
) -> None:
    """Its checkpoints are of it. The CPU here is one without bfloat16, the GPU has it."""
    monkeypatch.setattr("finetune_trainer.planning.plan.multiplies_bfloat16", lambda: False)

    def prepared(gpus: int, **training: Any) -> Precision:
        order = workplace.prepare_order(gpus=gpus, training=TRAINING | training)
        return prepare_training.run(order, workplace.reporter).plan.precision

    before = prepared(first)
    assert before is (Precision.BFLOAT16 if first else Precision.FLOAT32)
    assert prepared(then) is before
    other = next(precision for precision in Precision if precision is not before)
    assert prepared(then, precision=other) is other, "what the spec says counts"


@given(number=st.integers(1, 4096), limit=st.integers(1, 5000))
def test_the_largest_divisor_divides_and_no_larger_one_does(number: int, limit: int) -> None:
    divisor = largest_divisor(number, limit)
    assert number % divisor == 0
    assert divisor <= limit
    assert not any(number % larger == 0 for larger in range(divisor + 1, min(number, limit) + 1))
